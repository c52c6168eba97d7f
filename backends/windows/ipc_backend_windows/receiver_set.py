"""The receiver set: one wait for the news of many receivers.

A member is either queued for service, in turn order, or idle. An idle member was found empty, its
next sender will ring, and its read is in flight on its pipe. The reads of all idle members set the
same event, `_news`; the outcome of each is in memory, so finding the members whose read has ended
takes no system call. No news is missed:

- `_news` is reset before the outcomes are looked at, so a read that ends later sets it again.
- The system resets `_news` whenever a read starts, also when the read of another member has just
  set it. So `select` looks at all outcomes again after it has started reads, before it waits.

Members come and go under `_changing`, which `select` holds while it serves, not while it waits. So
no other thread removes a member that is being served. The read of a member that leaves is cancelled
before `remove` returns; if it had ended before, `_news` may be set without news, and `select` waits
again. `_nudge` ends the wait for a new member, `wake` and `close`.

An I/O completion port would be bound to a pipe for ever, so a receiver could not enter a second
set, nor a set in another process.
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
    """See OsIpcReceiverSet."""

    def __init__(self) -> None:
        self._news = new_event()
        self._nudge = new_event()
        self._queued: dict[int, WindowsReceiver] = {}
        self._idle: dict[int, WindowsReceiver] = {}
        self._woken = False
        self._changing = BriefLock()
        super().__init__()

    def add(self, receiver: OsIpcReceiver, id: int) -> None:
        """See OsIpcReceiverSet.add. The member is the same object."""
        if not isinstance(receiver, WindowsReceiver):
            name = type(receiver).__name__
            raise ForeignHandleError(f"the windows backend cannot select a {name}")
        with self._changing:
            self._check_open()
            if id in self._queued or id in self._idle:
                raise ValueError(f"the set has a receiver {id} already")
            receiver.enter_set()
            self._queued[id] = receiver
            win32.SetEvent(self._nudge.value)

    def remove(self, id: int) -> WindowsReceiver:
        """See OsIpcReceiverSet.remove."""
        with self._changing:
            self._check_open()
            receiver = (self._queued if id in self._queued else self._idle).pop(id)
            receiver.leave_set()
            return receiver

    def select(self, timeout: float | None, limit: int = 64) -> list[Result]:
        """See OsIpcReceiverSet.select."""
        deadline = Deadline(timeout)
        if not self._enter(timeout):
            return []
        try:
            while True:
                with self._changing:
                    self._check_open()
                    win32.ResetEvent(self._nudge.value)
                    self._check_open()  # a `close` just now nudged before the reset
                    results = self._serve(limit)
                    woken, self._woken = self._woken, False
                    if results or woken or deadline.passed():
                        return results
                    if self._queued or any(map(WindowsReceiver.heard, self._idle.values())):
                        continue  # a new read may have reset `_news` after another had set it
                wait([self._news, self._nudge], deadline)
        except OSError as error:
            if isinstance(error, IpcIOError):
                raise
            raise translated(error) from error
        finally:
            self._leave()

    def _serve(self, limit: int) -> list[Result]:
        """Take a message from each queued member, those first that have waited longest."""
        win32.ResetEvent(self._news.value)
        for id in [id for id, member in self._idle.items() if member.heard()]:
            self._queued[id] = self._idle.pop(id)
        results: list[Result] = []
        for id in list(self._queued):
            if len(results) == limit:
                break
            result = self._receive(id)
            if result is not None:
                results.append(result)
        return results

    def _receive(self, id: int) -> Result | None:
        """Take a message from a queued member, and queue it again as the last, or let it idle."""
        receiver = self._queued.pop(id)
        try:
            message = receiver.poll(arm=True)
            if message is None:
                if receiver.listen(self._news):
                    self._idle[id] = receiver
                else:
                    self._queued[id] = receiver
                return None
        except Disconnected:
            receiver.leave_set()
            receiver.close()
            return id, None, ()
        except (SerDeError, IpcIOError) as error:
            self._queued[id] = receiver
            return id, error, ()
        except OSError as error:
            self._queued[id] = receiver
            return id, translated(error), ()
        except BaseException:
            self._queued[id] = receiver
            raise
        self._queued[id] = receiver
        return id, *message

    def wake(self) -> None:
        """See OsIpcReceiverSet.wake."""
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
            for members in (self._queued, self._idle):
                while members:
                    receiver = members.popitem()[1]
                    receiver.leave_set()
                    receiver.close()
            self._news.close()
            self._nudge.close()

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedError("this receiver set is closed")
