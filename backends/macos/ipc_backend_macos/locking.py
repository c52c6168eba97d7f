"""One lock for all that this process knows about its ports: `with locking.LOCK:`.

Destructors and signal handlers close handles at any moment, in any thread, each maybe while it
holds the lock: with one reentrant lock they cannot wait for each other. It is the lock itself, not
an object around it, because Python lets no signal handler raise between the entry of a lock
written in C and the block.
"""

from __future__ import annotations

import threading

from ipc_core.spi import mend_after_fork, unheld

LOCK = threading.RLock()


class _Renewal:
    def after_fork(self) -> None:
        """Who held the lock may not exist in the child."""
        global LOCK
        LOCK = unheld(LOCK)


_renewal = _Renewal()
mend_after_fork(_renewal)
