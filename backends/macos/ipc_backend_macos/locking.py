"""One lock for all that this process knows about its ports.

Destructors and signal handlers close handles at any moment, in any thread, each maybe while it
holds the lock: with one reentrant lock they cannot wait for each other.
"""

from __future__ import annotations

from ipc_core.spi import BriefLock

LOCK = BriefLock()
