"""The receiving end of a channel."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import ClassVar

from ipc_backend_windows import win32, wire
from ipc_backend_windows.attachments import Lendable, Makers, discard, unpack
from ipc_backend_windows.closing import Closing
from ipc_backend_windows.errors import translated
from ipc_backend_windows.kernel_handles import Handle, new_event
from ipc_backend_windows.operation import Operation
from ipc_backend_windows.pipes import is_broken
from ipc_backend_windows.queue_memory import QueueMemory
from ipc_backend_windows.queue_reader import Reader
from ipc_backend_windows.waiting import Deadline, wait
from ipc_backend_windows.wire import Entry
from ipc_core.spi import (
    Attachment,
    Buffer,
    ClosedError,
    DecodeError,
    Disconnected,
    Empty,
    IpcError,
    Kind,
)

Message = tuple[Buffer, Sequence[Attachment]]


class WindowsReceiver(Closing, Lendable):
    """See OsIpcReceiver.

    A one-byte read on the pipe ends when a sender rings and when the last sender is gone. A sender
    rings once after the receiver has armed the queue, which it does when it finds the queue empty.
    The byte only says to look again, so a byte too many is harmless; and none is missing, since the
    receiver arms and a sender appends under the same lock.
    """

    kind: ClassVar[Kind] = Kind.RECEIVER

    def __init__(self, pipe: Handle, queue: QueueMemory, makers: Makers) -> None:
        self._pipe = pipe
        self._makers = makers
        self._reader = Reader(queue)
        self._bell = Operation(pipe)
        self._event = new_event()
        self._senders_gone = False
        self._in_set = False
        self._watchers: set[Handle] = set()
        super().__init__()

    def recv(self, timeout: float | None) -> Message:
        """See OsIpcReceiver.recv."""
        deadline = Deadline(timeout)
        if not self._enter(timeout):
            raise Empty("no message has arrived")
        try:
            while True:
                message = self.poll(arm=timeout != 0)
                if message is not None:
                    return message
                if deadline.passed():
                    raise Empty("no message has arrived")
                if self.listen(self._event):
                    if self._closed:
                        continue  # a `close` from here on finds the read and ends it
                    wait([self._event], deadline)
        except IpcError:
            raise
        except OSError as error:
            raise translated(error) from error
        finally:
            self._wake_watchers()
            self._leave()

    def poll(self, arm: bool) -> Message | None:
        """Return the next message, or None; after None with `arm`, the next sender rings.

        The caller must be alone with the receiver. Raises as `recv` does, and OSError.
        """
        if self._closed:
            raise ClosedError("this receiver is closed")
        self._end_read()
        record = self._reader.next(arm)
        if record is None and self._is_over():
            # The last sender may have sent and gone since the queue was found empty.
            record = self._reader.next()
            if record is None:
                raise Disconnected("every sender is gone")
        return None if record is None else unpack(*record, self._makers)

    def listen(self, event: Handle) -> bool:
        """Have `event` set when there is a reason to poll; return False if there is one now."""
        if self._bell.active:
            return not self._bell.finished()
        if self._bell.read(event):
            self._senders_gone = True
            return False
        return True

    def heard(self) -> bool:
        """Return whether the read that `listen` has started has ended. Needs no turn."""
        return not self._bell.active or self._bell.finished()

    def enter_set(self) -> None:
        """Belong to a set, which alone calls `poll`, `listen` and `heard` from now on.

        Raises ClosedError, or IpcError while another thread receives.
        """
        self._enter_alone()
        self._bell.cancel()
        self._in_set = True
        self._leave()

    def leave_set(self) -> None:
        """Belong to no set. The set's event is not set for this receiver from now on."""
        self._in_set = False
        self._bell.cancel()

    def _enter_alone(self) -> None:
        """Enter without waiting. Raises IpcError if the receiver is in use or in a set."""
        if self._closed:
            raise ClosedError("this receiver is closed")
        if not self._lock.acquire(blocking=False):
            raise IpcError("another thread is receiving on this receiver")
        self._users += 1
        # The lock is reentrant: a second user is one that this call has interrupted.
        if self._closed or self._users > 1 or self._in_set:
            self._leave()
            if self._closed:
                raise ClosedError("this receiver is closed")
            raise IpcError("a receiver can only be attached once, and not while it is in use")

    def _end_read(self) -> None:
        """Make room for the next read if the last one has ended."""
        if self._bell.finished():
            self._bell.result()

    def _is_over(self) -> bool:
        """Return whether every sender is gone, though messages may be left."""
        if not self._senders_gone:
            self._senders_gone = is_broken(self._pipe)
        return self._senders_gone

    def fileno(self) -> None:
        """See OsIpcReceiver.fileno. There are no descriptors here."""

    def when_ready(self, callback: Callable[[], object]) -> Callable[[], object]:
        """See OsIpcReceiver.when_ready. A thread of its own waits and calls back."""
        # Set for reasons other than news: `close`, the end of a `recv` or loan, `cancel`.
        nudge = new_event()
        waits_for = [nudge]
        cancelled = threading.Event()
        self._watchers.add(nudge)
        if self._enter(0):  # else another thread receives, and nudges when it leaves
            try:
                if self._closed:
                    raise ClosedError("this receiver is closed")
                if self._has_news() or not self.listen(self._event):
                    win32.SetEvent(nudge.value)
                waits_for.append(self._event)
            finally:
                self._leave()

        def watch() -> None:
            try:
                wait(waits_for, Deadline(None))
            except OSError:
                pass  # the receiver was closed before this thread had begun to wait
            self._watchers.discard(nudge)
            if not cancelled.is_set():
                callback()

        def cancel() -> None:
            cancelled.set()
            win32.SetEvent(nudge.value)

        threading.Thread(target=watch, name="ipc-backend-windows", daemon=True).start()
        return cancel

    def _has_news(self) -> bool:
        """Return whether `poll` would return a message or raise Disconnected."""
        self._end_read()
        return self._reader.has_next(arm=True) or self._is_over()

    def _wake_watchers(self) -> None:
        for nudge in tuple(self._watchers):
            win32.SetEvent(nudge.value)

    def close(self) -> None:
        """See OsIpcReceiver.close."""
        super().close()
        self._wake_watchers()

    def _end_wait(self) -> None:
        self._bell.interrupt()

    def _release_all(self) -> None:
        queue = self._reader.queue
        self._bell.close()
        if not queue.flag(wire.SHARED):  # else another process may receive these messages
            self._drop_all()
            queue.section.close()  # the mapping stays for senders of this process
        self._pipe.close()
        self._event.close()

    def _drop_all(self) -> None:
        """Refuse further messages, and close the attachments of those in the queue."""
        queue = self._reader.queue
        with queue.locked():
            queue.set_flag(wire.CLOSED, True)
        while True:
            try:
                record = self._reader.next()
                if record is None:
                    return
                for handle in unpack(*record, self._makers)[1]:
                    handle.close()
            except (DecodeError, OSError):
                continue

    def lend(self) -> tuple[Entry, QueueMemory, Callable[[bool], None]]:
        """See Lendable.lend. The loan is a turn of the calling thread."""
        self._enter_alone()
        try:
            # Nothing of this process may refer to the queue once it has moved: no read in flight,
            # and no position that is not in the memory.
            self._bell.cancel()
            self._reader.settle()
        except BaseException:
            self._leave()
            raise
        queue = self._reader.queue
        entry = Entry(self.kind, 0, self._pipe.value, queue.section.value, queue.identity)
        return entry, queue, self._end_loan

    def _end_loan(self, sent: bool) -> None:
        if sent:
            # `_release_all` would drop the queue, which is in use elsewhere.
            self._closed = self._released = True
            self._bell.close()
            self._pipe.close()
            self._event.close()
        self._leave()
        self._wake_watchers()


def receiver_from_entry(entry: Entry, makers: Makers) -> WindowsReceiver:
    """Make the handle for a receiver that has arrived; see Makers."""
    try:
        queue = QueueMemory.open(entry.identity, entry.second)
    except BaseException:
        discard(entry._replace(second=0))
        raise
    queue.container = bytes(16)
    return WindowsReceiver(Handle(entry.first), queue, makers)
