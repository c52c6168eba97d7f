"""The part of the WASI guest that is compiled into it. All else are files that it reads."""

import sys
import traceback

import wit_world

FOLDERS = ["/lib", "/packages", "/ours", "/tools"]


class WitWorld(wit_world.WitWorld):
    def run(self, arguments: list[str]) -> int:
        sys.path[:] = FOLDERS
        for name, module in list(sys.modules.items()):
            if hasattr(module, "__path__"):  # its folder was on the machine that built this
                module.__path__ = [f"/lib/{name.replace('.', '/')}"]
        try:
            from guest import main

            return main(arguments)
        except SystemExit as error:
            return error.code if isinstance(error.code, int) else 1
        except BaseException:
            traceback.print_exc()
            return 1
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
