"""Run where only the core and the inprocess backend are installed: it is chosen and works."""

import ipc_core

tx, rx = ipc_core.channel()
tx.send({"answer": 42})
assert rx.recv() == {"answer": 42}
assert tx._backend.name == "inprocess"
print("1 passed, 0 failed")
