"""Run where the core alone is installed: it imports, and names the packages to install."""

import sys

import ipc_core

expected = "pip install ipc-backend-"
try:
    ipc_core.channel()
except ipc_core.NoBackendError as error:
    if expected not in str(error):
        sys.exit(f"{error!s} does not say {expected!r}")
else:
    sys.exit("a channel without a backend")
try:
    ipc_core.channel(codec="msgspec")
except ipc_core.NotSupportedError as error:
    if str(error) != "the codec 'msgspec' needs msgspec; try: pip install 'ipc-core[msgspec]'":
        sys.exit(f"not what to install, but: {error}")
else:
    sys.exit("a typed channel without msgspec")
for name in ("typer", "rich", "pytest", "hypothesis", "msgspec", "ipc_backend_unix"):
    if name in sys.modules:
        sys.exit(f"importing ipc_core imported {name}")
print("1 passed, 0 failed")
