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
from ipc_backend_windows.operation import Operation, is_broken
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

    A one-byte read on the pipe tells of new messages, if the sender was asked for it, and of the
    end of the last sender. The byte means nothing by itself, so none is missed when it is lost.
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
                        continue  # whoever closes from now on interrupts the read
                    wait([self._event], deadline)
        except IpcError:
            raise
        except OSError as error:
            raise translated(error) from error
        finally:
            for watcher in tuple(self._watchers):
                win32.SetEvent(watcher.value)
            self._leave()

    def poll(self, arm: bool) -> Message | None:
        """The next message; None if there is none yet, and with `arm`, a sender will tell.

        Only for who is alone with the receiver. Raises what `recv` does, and OSError.
        """
        if self._closed:
            raise ClosedError("this receiver is closed")
        self._hear()
        record = self._reader.next(arm)
        if record is None and self._is_over():
            record = self._reader.next()  # what was sent before the last sender went
            if record is None:
                raise Disconnected("every sender is gone")
        return None if record is None else unpack(*record, self._makers)

    def listen(self, event: Handle) -> bool:
        """Have `event` set when it is worth to poll; return False if it is now."""
        if self._bell.active:
            return not self._bell.finished()
        if self._bell.read(event):
            self._senders_gone = True
            return False
        return True

    def heard(self) -> bool:
        """Whether the read has ended that `listen` has started. May be called at any time."""
        return not self._bell.active or self._bell.finished()

    def enter_set(self) -> None:
        """Be used by a set only, which calls `poll`, `listen` and `heard` from any thread.

        Raises ClosedError, or IpcError while another thread receives.
        """
        self._take_alone()
        self._bell.cancel()
        self._in_set = True
        self._leave()

    def leave_set(self) -> None:
        self._in_set = False
        self._bell.cancel()

    def _take_alone(self) -> None:
        """Enter, if nobody else has. Raises IpcError."""
        if self._closed:
            raise ClosedError("this receiver is closed")
        if not self._lock.acquire(blocking=False):
            raise IpcError("another thread is receiving on this receiver")
        self._users += 1
        if self._closed or self._users > 1 or self._in_set:
            self._leave()
            if self._closed:
                raise ClosedError("this receiver is closed")
            raise IpcError("a receiver can only be attached once, and not while it is in use")

    def _hear(self) -> None:
        if self._bell.finished():
            self._bell.result()

    def _is_over(self) -> bool:
        if not self._senders_gone:
            self._senders_gone = is_broken(self._pipe)
        return self._senders_gone

    def fileno(self) -> None:
        """See OsIpcReceiver.fileno. There are no descriptors here."""

    def when_ready(self, callback: Callable[[], object]) -> Callable[[], object]:
        """See OsIpcReceiver.when_ready. A thread waits for it."""
        cancelled = new_event()
        waits_for = [cancelled]
        taken_back = threading.Event()
        self._watchers.add(cancelled)
        if self._enter(0):  # else another thread receives, and will tell when it leaves
            try:
                if self._closed:
                    raise ClosedError("this receiver is closed")
                if self._has_news() or not self.listen(self._event):
                    win32.SetEvent(cancelled.value)
                waits_for.append(self._event)
            finally:
                self._leave()

        def watch() -> None:
            try:
                wait(waits_for, Deadline(None))
            except OSError:
                pass  # the receiver was closed before this thread had begun to wait
            self._watchers.discard(cancelled)
            if not taken_back.is_set():
                callback()

        def take_back() -> None:
            taken_back.set()
            win32.SetEvent(cancelled.value)

        threading.Thread(target=watch, name="ipc-backend-windows", daemon=True).start()
        return take_back

    def _has_news(self) -> bool:
        self._hear()
        return self._reader.has_next(arm=True) or self._is_over()

    def close(self) -> None:
        """See OsIpcReceiver.close."""
        super().close()
        for watcher in tuple(self._watchers):
            win32.SetEvent(watcher.value)

    def _end_wait(self) -> None:
        self._bell.interrupt()

    def _release_all(self) -> None:
        queue = self._reader.queue
        self._bell.close()
        if not queue.flag(wire.SHARED):
            self._drop_all()
            queue.section.close()  # the mapping stays for senders that are here
        self._pipe.close()
        self._event.close()

    def _drop_all(self) -> None:
        """Close what is in the queue, and refuse more."""
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
        """The receiver is not to be used by others until the loan ends."""
        self._take_alone()
        try:
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
            self._closed = self._released = True
            self._bell.close()
            self._pipe.close()
            self._event.close()
        self._leave()
        for watcher in tuple(self._watchers):
            win32.SetEvent(watcher.value)


def receiver_from_entry(entry: Entry, makers: Makers) -> WindowsReceiver:
    try:
        queue = QueueMemory.open(entry.identity, entry.second)
    except BaseException:
        discard(entry._replace(second=0))
        raise
    queue.container = bytes(16)
    return WindowsReceiver(Handle(entry.first), queue, makers)
