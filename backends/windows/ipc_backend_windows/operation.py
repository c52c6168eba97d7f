"""Overlapped calls on a pipe, which the system may finish at any later time."""

from __future__ import annotations

import ctypes
from ctypes.wintypes import DWORD

from ipc_backend_windows import win32
from ipc_backend_windows.kernel_handles import Handle

_SIZE = ctypes.sizeof(win32.OVERLAPPED) + 8


class Operation:
    """A read or write of one byte, or a wait for a client. One call at a time.

    The system writes the outcome, and the byte, to memory at any time until the call has ended.
    That memory is not Python's: it is freed only after the end of the call, even if the
    interpreter ends before.
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
        """Whether a call was started and its outcome was not asked for since."""

    def read(self, event: Handle) -> int:
        """Start to read a byte; `event` is set when it has come. Returns as `_start` does."""
        place, buffer = self._prepare(event)
        return self._start(win32.ReadFile(self._pipe.value, buffer, 1, None, place))

    def write(self) -> int:
        """Start to write a byte, without an event. Returns as `_start` does."""
        place, buffer = self._prepare(None)
        return self._start(win32.WriteFile(self._pipe.value, buffer, 1, None, place))

    def connect(self, event: Handle) -> int:
        """Start to wait for a client; `event` is set when it comes. Returns as `_start` does."""
        place, _ = self._prepare(event)
        return self._start(win32.ConnectNamedPipe(self._pipe.value, place))

    def _prepare(self, event: Handle | None) -> tuple[int, int]:
        self._event = event
        self._overlapped.hEvent = event.value if event else 0
        return self._address, self._address + ctypes.sizeof(win32.OVERLAPPED)

    def _start(self, done: bool) -> int:
        """Return 0 if the call is under way or done, so that its event is set when it has ended.

        Otherwise return the error of a call that ended at once and sets no event.
        """
        error = 0 if done else ctypes.get_last_error()
        if error in (0, win32.ERROR_IO_PENDING):
            self.active = True
            return 0
        return error

    def finished(self) -> bool:
        """Return whether the started call has ended. Reads memory only, from any thread."""
        return self.active and self._overlapped.Internal != win32.STATUS_PENDING

    def result(self) -> int:
        """Return the error of the call that has ended, or 0."""
        self.active = False
        if win32.GetOverlappedResult(self._pipe.value, self._address, ctypes.byref(DWORD()), False):
            return 0
        return ctypes.get_last_error()

    def cancel(self) -> int:
        """End the call, if one is under way, and return its error; 0 if it succeeded before."""
        if not self.active:
            return 0
        win32.CancelIoEx(self._pipe.value, self._address)  # fails if the call has just ended
        while not self.finished():
            # Other calls may set the same event, so it alone does not show the end of this one.
            if self._event:
                win32.WaitForSingleObject(self._event.value, 1)
            else:
                win32.Sleep(1)
        return self.result()

    def interrupt(self) -> None:
        """End soon a call that another thread waits for. That thread asks for its outcome."""
        win32.CancelIoEx(self._pipe.value, self._address)

    def close(self) -> None:
        """Cancel the call, and free its memory. Closing twice does nothing."""
        address, self._address = self._address, 0
        if address:
            if self.active:
                self._address = address
                self.cancel()
                self._address = 0
            win32.HeapFree(win32.GetProcessHeap(), 0, address)
