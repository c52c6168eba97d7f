"""Whether this platform has threads."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


_emscripten: Any = getattr(sys, "_emscripten_info", None)

THREADS: bool = sys.platform != "wasi" and (_emscripten is None or _emscripten.pthreads)
"""Without threads nothing else runs while this program waits, and a taken lock blocks for ever."""
