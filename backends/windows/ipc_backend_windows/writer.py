"""The sending side of one channel in this process, shared by its sender handles."""

from __future__ import annotations

from collections.abc import Sequence

from ipc_backend_windows import win32, wire
from ipc_backend_windows.attachments import Loan
from ipc_backend_windows.errors import broken, translated
from ipc_backend_windows.kernel_handles import Handle, copy
from ipc_backend_windows.operation import Operation
from ipc_backend_windows.pipes import is_broken
from ipc_backend_windows.queue_memory import QueueMemory
from ipc_backend_windows.queue_writer import append
from ipc_backend_windows.section import View, new_section
from ipc_backend_windows.wire import Entry
from ipc_core.spi import Attachment, BriefLock, Buffer, IpcError, Kind

_counting = BriefLock()

_LONGEST_DEATH = 1000
"""Milliseconds to wait for the pipes of a process to close after it has begun to refuse handles."""


class ChannelWriter:
    """The sending end of a channel's pipe, and the channel's memory.

    `queue` is None if the receiver was gone before this end arrived. A sender handle is a user, and
    so is each call of one. The pipe is closed when the last user has released this.
    """

    def __init__(self, pipe: Handle, queue: QueueMemory | None, identity: bytes) -> None:
        self.pipe = pipe
        self.identity = identity
        self._queue = queue
        self._users = 1
        self._bell: Operation | None = None

    def retain(self) -> bool:
        """Add a user; return False if the last one is gone, so that this is closed."""
        with _counting:
            if self._users:
                self._users += 1
            return self._users > 0

    def release(self) -> None:
        """Remove a user."""
        with _counting:
            self._users -= 1
            if self._users:
                return
        if self._bell is not None:
            self._bell.close()
        self.pipe.close()
        self._queue = None

    def entry(self, kind: int) -> Entry:
        """Return the entry by which this end travels in a message."""
        return Entry(kind, 0, self.pipe.value, 0, self.identity)

    def send(self, data: Buffer | Sequence[Buffer], attachments: Sequence[Attachment]) -> None:
        """See OsIpcSender.send.

        A message that would close a cycle of queues is dropped, since nobody could receive it. Its
        receivers are closed, with all messages in their queues.
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
                if not loan.closes_cycle(queue):
                    self._send_with(queue, loan, buffers, size)
                    return
                loan.cancel()
            # After the loan, during which they are in use.
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
        """Return whether a send failed because the receiver's process has ended.

        A process that ends refuses handles some time before its end of the pipe closes.
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
        """Return the memory. Raises BrokenChannelError if nobody reads it."""
        if self._queue is None or is_broken(self.pipe):
            raise broken()
        return self._queue

    def _send_with(
        self, queue: QueueMemory, loan: Loan, buffers: Sequence[Buffer], size: int
    ) -> None:
        """Send attachments, or a payload that is not inline, or both."""
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
        """Append a message to the queue, once its receivers' queues have moved to the same home.

        They move without the lock of this queue held, so this queue may itself move in the
        meantime. Then they follow it, until its home, checked under its lock, is where they are.
        """
        if queue.mutex.is_mine():
            self._append_afterwards(queue, entries, buffers, size)
            return
        while True:
            if loan is not None:
                target = queue.home
                loan.move_queues_to(target)
            with queue.locked():
                if queue.flag(wire.CLOSED):
                    raise broken()
                if loan is None or queue.home == target:
                    if loan is not None:
                        loan.note_container(queue)
                    append(queue, entries, buffers, size, self._ring)
                    return

    def _append_afterwards(
        self,
        queue: QueueMemory,
        entries: Sequence[Entry],
        buffers: Sequence[Buffer],
        size: int,
    ) -> None:
        """Send from a destructor or signal handler that has interrupted another send.

        The message follows the interrupted one. It has handles and bytes of its own, since the
        caller's are free again when this returns.
        """
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
                pass  # the call that sent it has returned
            finally:
                for entry in own:
                    for handle in (entry.first, entry.second):
                        if handle:
                            win32.CloseHandle(handle)
                self.release()

        queue.mutex.afterwards(step)

    def _ring(self) -> None:
        """Write the byte that the receiver waits for. Call with the queue's lock held."""
        if self._bell is None:
            self._bell = Operation(self.pipe)
        if self._bell.write() == 0:
            self._bell.cancel()  # done already, unless a peer has filled the pipe


def _mine(handle: int) -> int:
    """Return a second handle of this process."""
    return copy(handle, win32.CURRENT_PROCESS, win32.CURRENT_PROCESS) if handle else 0
