"""The lock over everything that this process knows about its ports: `with locking.LOCK:`.

Destructors and signal handlers close handles at any moment, in any thread, also inside a block that
holds the lock. One reentrant lock for everything cannot deadlock with itself. LOCK is the lock
itself, not an object around it, because Python lets no signal handler raise between the entry of a
lock written in C and the block.
"""

from __future__ import annotations

import threading

from ipc_core.spi import mend_after_fork, unheld

LOCK = threading.RLock()


class _Renewal:
    def after_fork(self) -> None:
        """Replace a lock whose holder does not exist in this forked child."""
        global LOCK
        LOCK = unheld(LOCK)


_renewal = _Renewal()
mend_after_fork(_renewal)
