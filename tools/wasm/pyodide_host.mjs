// Runs pytest in Pyodide: `node pyodide_host.mjs BUILD PROJECT [pytest arguments]`.
// Without arguments for pytest: awaits the checks of webloop.py on Pyodide's own event loop.
import { dirname, join, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const [build, project, ...args] = process.argv.slice(2);
const pyodide = resolve(build, "node_modules", "pyodide");
const { loadPyodide } = await import(pathToFileURL(join(pyodide, "pyodide.mjs")).href);

const python = await loadPyodide({ indexURL: pyodide + "/", env: { HOME: "/home/pyodide" } });
const folders = {
  "/packages": resolve(build, "packages"),
  "/ours": resolve(build, "ours"),
  "/tools": dirname(fileURLToPath(import.meta.url)),
  "/project": resolve(project),
};
for (const [guest, host] of Object.entries(folders)) python.mountNodeFS(guest, host);
python.globals.set("arguments", python.toPy(args));
const code = await python.runPythonAsync(`
import sys
sys.dont_write_bytecode = True
sys.path[:0] = ["/packages", "/ours", "/tools"]
import asyncio
from late_timers import allow_late_timers
allow_late_timers(asyncio.get_running_loop())
if arguments:
    from guest import main
    code = main(arguments)
else:
    from webloop import main
    code = await main()
code
`);
process.exit(code);
