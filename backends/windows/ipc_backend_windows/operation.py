"""One overlapped call on a pipe, which the system may finish at any later time."""

from __future__ import annotations

import ctypes
from ctypes.wintypes import DWORD

from ipc_backend_windows import win32
from ipc_backend_windows.errors import last_error
from ipc_backend_windows.kernel_handles import Handle

_SIZE = ctypes.sizeof(win32.OVERLAPPED) + 8


class Operation:
    """A read or write of one byte, or a wait for a client.

    The memory that the system writes to is not Python's: it stays in place until the call has
    ended, even when the interpreter ends before.
    """

    def __init__(self, pipe: Handle) -> None:
        address = win32.HeapAlloc(win32.GetProcessHeap(), win32.HEAP_ZERO_MEMORY, _SIZE)
        if not address:
            raise MemoryError
        self._pipe = pipe
        self._address: int = address
        self._overlapped = win32.OVERLAPPED.from_address(address)
        self._event: Handle | None = None
        self.active = False
        """Whether a call was started whose outcome nobody has asked for."""

    def read(self, event: Handle) -> int:
        """Start to read a byte; see `_start`."""
        place, buffer = self._prepare(event)
        return self._start(win32.ReadFile(self._pipe.value, buffer, 1, None, place))

    def write(self) -> int:
        """Start to write a byte, without an event; see `_start`."""
        place, buffer = self._prepare(None)
        return self._start(win32.WriteFile(self._pipe.value, buffer, 1, None, place))

    def connect(self, event: Handle) -> int:
        """Start to wait for a client; see `_start`."""
        place, _ = self._prepare(event)
        return self._start(win32.ConnectNamedPipe(self._pipe.value, place))

    def _prepare(self, event: Handle | None) -> tuple[int, int]:
        self._event = event
        self._overlapped.hEvent = event.value if event else 0
        return self._address, self._address + ctypes.sizeof(win32.OVERLAPPED)

    def _start(self, done: bool) -> int:
        """Return 0 for a call that is under way or done: the event tells when. Any other error is
        that of a call which ended at once, without setting the event."""
        error = 0 if done else ctypes.get_last_error()
        if error in (0, win32.ERROR_IO_PENDING):
            self.active = True
            return 0
        return error

    def finished(self) -> bool:
        """Whether a started call has come to its end."""
        return self.active and self._overlapped.Internal != win32.STATUS_PENDING

    def result(self) -> int:
        """The error of a finished call, or 0."""
        self.active = False
        if win32.GetOverlappedResult(self._pipe.value, self._address, ctypes.byref(DWORD()), False):
            return 0
        return ctypes.get_last_error()

    def cancel(self) -> int:
        """End a call that may be under way, and return its error; 0 if it was faster."""
        if not self.active:
            return 0
        win32.CancelIoEx(self._pipe.value, self._address)  # not found: it has just finished
        while not self.finished():
            # Others may use the same event, so that it does not say enough.
            if self._event:
                win32.WaitForSingleObject(self._event.value, 1)
            else:
                win32.Sleep(1)
        return self.result()

    def interrupt(self) -> None:
        """Make a call that another thread waits for end soon."""
        win32.CancelIoEx(self._pipe.value, self._address)

    def close(self) -> None:
        """Cancel, and free the memory."""
        address, self._address = self._address, 0
        if address:
            if self.active:
                self._address = address
                self.cancel()
                self._address = 0
            win32.HeapFree(win32.GetProcessHeap(), 0, address)


def is_broken(pipe: Handle) -> bool:
    """Whether the other end of a pipe is closed, though there may be bytes left to read.

    Raises OSError, also for a handle that is closed.
    """
    if win32.PeekNamedPipe(pipe.value, None, 0, None, None, None):
        return False
    error = ctypes.get_last_error()
    if error in (win32.ERROR_BROKEN_PIPE, win32.ERROR_PIPE_NOT_CONNECTED, win32.ERROR_NO_DATA):
        return True
    raise last_error()
