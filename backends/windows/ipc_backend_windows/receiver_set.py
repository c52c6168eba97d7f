"""Many receivers, waited for together.

Every member has a read in flight on its pipe, and all these reads set one event; whose read has
ended is seen in memory, without a system call. An I/O completion port would be bound to a pipe
for ever, so that a receiver could not enter a second set, nor one in another process.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Union

from ipc_backend_windows import win32
from ipc_backend_windows.closing import Closing
from ipc_backend_windows.errors import translated
from ipc_backend_windows.kernel_handles import new_event
from ipc_backend_windows.receiver import WindowsReceiver
from ipc_backend_windows.waiting import Deadline, wait
from ipc_core.spi import (
    Attachment,
    BriefLock,
    Buffer,
    ClosedError,
    Disconnected,
    ForeignHandleError,
    IpcIOError,
    OsIpcReceiver,
    SerDeError,
)

Result = tuple[int, Union[Buffer, SerDeError, IpcIOError, None], Sequence[Attachment]]


class WindowsReceiverSet(Closing):
    """See OsIpcReceiverSet.

    A member is in line, in the order of turns, or quiet: then it was empty, its sender will ring,
    and its read is in flight.
    """

    def __init__(self) -> None:
        self._news = new_event()
        self._nudge = new_event()
        self._line: dict[int, WindowsReceiver] = {}
        self._quiet: dict[int, WindowsReceiver] = {}
        self._woken = False
        self._changing = BriefLock()
        super().__init__()

    def add(self, receiver: OsIpcReceiver, id: int) -> None:
        """See OsIpcReceiverSet.add; the receiver's object stays the same."""
        receiver.kind  # noqa: B018  what the core puts in place of a closed handle raises
        if not isinstance(receiver, WindowsReceiver):
            name = type(receiver).__name__
            raise ForeignHandleError(f"the windows backend cannot select a {name}")
        with self._changing:
            self._check_open()
            if id in self._line or id in self._quiet:
                raise ValueError(f"the set has a receiver {id} already")
            receiver.enter_set()
            self._line[id] = receiver
            win32.SetEvent(self._nudge.value)

    def remove(self, id: int) -> WindowsReceiver:
        with self._changing:
            self._check_open()
            receiver = (self._line if id in self._line else self._quiet).pop(id)
            receiver.leave_set()
            return receiver

    def select(self, timeout: float | None, limit: int = 64) -> list[Result]:
        deadline = Deadline(timeout)
        if not self._enter(timeout):
            return []
        try:
            while True:
                with self._changing:
                    self._check_open()
                    win32.ResetEvent(self._nudge.value)
                    self._check_open()  # closed before the reset, which took its nudge
                    results = self._serve(limit)
                    woken, self._woken = self._woken, False
                    if results or woken or deadline.passed():
                        return results
                    if self._line or any(map(WindowsReceiver.heard, self._quiet.values())):
                        continue  # starting a read resets the event, which another had set
                wait([self._news, self._nudge], deadline)
        except OSError as error:
            if isinstance(error, IpcIOError):
                raise
            raise translated(error) from error
        finally:
            self._leave()

    def _serve(self, limit: int) -> list[Result]:
        """Take a message from each in line, those first that have waited longest."""
        win32.ResetEvent(self._news.value)
        for id in [id for id, member in self._quiet.items() if member.heard()]:
            self._line[id] = self._quiet.pop(id)
        results: list[Result] = []
        for id in list(self._line):
            if len(results) == limit:
                break
            result = self._receive(id)
            if result is not None:
                results.append(result)
        return results

    def _receive(self, id: int) -> Result | None:
        receiver = self._line.pop(id)
        try:
            message = receiver.poll(arm=True)
            if message is None:
                if receiver.listen(self._news):
                    self._quiet[id] = receiver
                else:
                    self._line[id] = receiver
                return None
        except Disconnected:
            receiver.leave_set()
            receiver.close()
            return id, None, ()
        except (SerDeError, IpcIOError) as error:
            self._line[id] = receiver
            return id, error, ()
        except OSError as error:
            self._line[id] = receiver
            return id, translated(error), ()
        except BaseException:
            self._line[id] = receiver
            raise
        self._line[id] = receiver
        return id, *message

    def wake(self) -> None:
        with self._changing:
            if not self._closed:
                self._woken = True
                win32.SetEvent(self._nudge.value)

    def fileno(self) -> None:
        """See OsIpcReceiverSet.fileno. There are no descriptors here."""

    def _end_wait(self) -> None:
        win32.SetEvent(self._nudge.value)

    def _release_all(self) -> None:
        with self._changing:
            for members in (self._line, self._quiet):
                while members:
                    receiver = members.popitem()[1]
                    receiver.leave_set()
                    receiver.close()
            self._news.close()
            self._nudge.close()

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedError("this receiver set is closed")
