"""What the sender handles of one channel in this process share."""

from __future__ import annotations

from collections.abc import Sequence

from ipc_backend_windows import win32, wire
from ipc_backend_windows.attachments import Loan
from ipc_backend_windows.errors import broken, translated
from ipc_backend_windows.kernel_handles import Handle, copy
from ipc_backend_windows.operation import Operation, is_broken
from ipc_backend_windows.queue_memory import QueueMemory
from ipc_backend_windows.queue_writer import append
from ipc_backend_windows.section import View, new_section
from ipc_backend_windows.wire import Entry
from ipc_core.spi import Attachment, BriefLock, Buffer, IpcError, Kind

_counting = BriefLock()

_LONGEST_DEATH = 1000
"""Milliseconds between a process's refusing handles and the end of its pipes."""


class ChannelWriter:
    """The sending end of a pipe, and the channel's memory; None if the receiver went before this
    end arrived. It is closed when its last user has released it."""

    def __init__(self, pipe: Handle, queue: QueueMemory | None, identity: bytes) -> None:
        self.pipe = pipe
        self.identity = identity
        self._queue = queue
        self._users = 1
        self._bell: Operation | None = None

    def retain(self) -> bool:
        """Return whether there was a user, so that it is open."""
        with _counting:
            if self._users:
                self._users += 1
            return self._users > 0

    def release(self) -> None:
        with _counting:
            self._users -= 1
            if self._users:
                return
        if self._bell is not None:
            self._bell.close()
        self.pipe.close()
        self._queue = None

    def entry(self, kind: int) -> Entry:
        return Entry(kind, 0, self.pipe.value, 0, self.identity)

    def send(self, data: Buffer | Sequence[Buffer], attachments: Sequence[Attachment]) -> None:
        """See OsIpcSender.send.

        A message that would close a cycle of queues, out of which nobody could receive it, is
        dropped with its receivers, and so is all that waits in them.
        """
        buffers = [data] if isinstance(data, (bytes, bytearray, memoryview)) else data
        buffers = [
            memoryview(buffer).cast("B") if isinstance(buffer, memoryview) else buffer
            for buffer in buffers
        ]
        size = sum(map(len, buffers))
        try:
            if size <= wire.INLINE and not attachments:
                self._append(self._alive(), [], buffers, size, None)
                return
            with Loan(attachments) as loan:
                queue = self._alive()
                is_lost = loan.can_never_arrive(queue)
                if not is_lost:
                    self._send_with(queue, loan, buffers, size)
                    return
                loan.keep()
            for handle in attachments:
                if handle.kind is Kind.RECEIVER:
                    handle.close()
        except IpcError:
            raise
        except OSError as error:
            if self._receiver_died(error):
                raise broken() from error
            raise translated(error) from error

    def _receiver_died(self, error: OSError) -> bool:
        """Whether a send failed because the receiver's process has ended.

        One that is ending takes no handles any more, some time before its end of the pipe closes.
        """
        milliseconds = _LONGEST_DEATH if error.winerror == win32.ERROR_ACCESS_DENIED else 0
        try:
            for _ in range(0, milliseconds, 10):
                if is_broken(self.pipe):
                    return True
                win32.Sleep(10)
            return is_broken(self.pipe)
        except OSError:
            return False

    def _alive(self) -> QueueMemory:
        """The memory, if there is somebody to read it."""
        if self._queue is None or is_broken(self.pipe):
            raise broken()
        return self._queue

    def _send_with(
        self, queue: QueueMemory, loan: Loan, buffers: Sequence[Buffer], size: int
    ) -> None:
        if size <= wire.INLINE:
            self._append(queue, loan.entries, buffers, size, loan)
            return
        section = new_section(size)
        view = View(section.value, size)
        place = 0
        for buffer in buffers:
            view.bytes[place : place + len(buffer)] = buffer
            place += len(buffer)
        view.close()
        payload = Entry(wire.PAYLOAD_ENTRY, size, section.value, 0, bytes(16))
        self._append(queue, [*loan.entries, payload], [], 0, loan)
        section.close()

    def _append(
        self,
        queue: QueueMemory,
        entries: Sequence[Entry],
        buffers: Sequence[Buffer],
        size: int,
        loan: Loan | None,
    ) -> None:
        if queue.mutex.is_mine():
            self._append_afterwards(queue, entries, buffers, size)
            return
        while True:
            if loan is not None:
                target = queue.home
                loan.head_for(target)
            with queue.locked():
                if queue.flag(wire.CLOSED):
                    raise broken()
                if loan is None or queue.home == target:
                    if loan is not None:
                        loan.enter(queue)
                    append(queue, entries, buffers, size, self._ring)
                    return

    def _append_afterwards(
        self,
        queue: QueueMemory,
        entries: Sequence[Entry],
        buffers: Sequence[Buffer],
        size: int,
    ) -> None:
        """Send from within a destructor or signal handler that has interrupted another send."""
        data = b"".join(buffers)
        own = [
            entry._replace(first=_mine(entry.first), second=_mine(entry.second))
            for entry in entries
        ]
        self.retain()

        def step() -> None:
            try:
                if not queue.flag(wire.CLOSED):
                    append(queue, own, [data], size, self._ring)
            except OSError:
                pass  # nobody is there to be told
            finally:
                for entry in own:
                    for handle in (entry.first, entry.second):
                        if handle:
                            win32.CloseHandle(handle)
                self.release()

        queue.mutex.afterwards(step)

    def _ring(self) -> None:
        """Write the byte that the receiver waits for. The lock is held, so this thread is alone."""
        if self._bell is None:
            self._bell = Operation(self.pipe)
        if self._bell.write() == 0:
            self._bell.cancel()  # it is done, unless somebody has filled the pipe for nobody


def _mine(handle: int) -> int:
    return copy(handle, win32.CURRENT_PROCESS, win32.CURRENT_PROCESS) if handle else 0
