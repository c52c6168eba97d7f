"""Run where only the core and the inprocess backend are installed: it is chosen and works."""

import sys

import ipc_core

tx, rx = ipc_core.channel()
tx.send({"answer": 42})
assert rx.recv() == {"answer": 42}
assert tx._backend.name == "inprocess"
try:
    ipc_core.channel(codec="msgspec")
except ipc_core.NotSupportedError as error:
    if not str(error).endswith("try: pip install 'ipc-core[msgspec]'"):
        sys.exit(f"not what to install, but: {error}")
else:
    sys.exit("a typed channel without msgspec")
print("1 passed, 0 failed")
