"""The sender handle; a channel's handles in one process share a ChannelWriter."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import ClassVar

from ipc_backend_windows.attachments import Lendable
from ipc_backend_windows.errors import translated
from ipc_backend_windows.kernel_handles import Handle, new_event
from ipc_backend_windows.operation import Operation
from ipc_backend_windows.pipes import is_broken
from ipc_backend_windows.queue_memory import QueueMemory
from ipc_backend_windows.waiting import Deadline, wait
from ipc_backend_windows.wire import Entry
from ipc_backend_windows.writer import ChannelWriter
from ipc_core.spi import Attachment, Buffer, ClosedError, IpcError, Kind


class WindowsSender(Lendable):
    """See OsIpcSender."""

    kind: ClassVar[Kind] = Kind.SENDER
    _writer: ChannelWriter | None = None

    def __init__(self, writer: ChannelWriter) -> None:
        self._writer = writer
        self._waiting: set[Operation] = set()

    def send(
        self,
        data: Buffer | Sequence[Buffer],
        attachments: Sequence[Attachment] = (),
        timeout: float | None = None,
    ) -> None:
        """See OsIpcSender.send. The receiver's process keeps an accepted message."""
        writer = self._retained()
        try:
            writer.send(data, attachments)
        finally:
            writer.release()

    def clone(self) -> WindowsSender:
        """See OsIpcSender.clone. Clones share one kernel handle."""
        return WindowsSender(self._retained())

    def wait_closed(self, timeout: float | None) -> bool:
        """See OsIpcSender.wait_closed. The receiver never writes to the pipe, so a read ends only
        with the receiver, with `close`, or with the deadline.
        """
        writer = self._retained()
        deadline = Deadline(timeout)
        reading = Operation(writer.pipe)
        self._waiting.add(reading)
        try:
            event = new_event()
            while True:
                self._check_open()
                if is_broken(writer.pipe):
                    return True
                if deadline.passed():
                    return False
                if not reading.active and reading.read(event):
                    continue
                self._check_open()  # a `close` from here on finds the read and ends it
                if wait([event], deadline):
                    reading.result()
        except IpcError:
            raise
        except OSError as error:
            raise translated(error) from error
        finally:
            self._waiting.discard(reading)
            reading.close()
            writer.release()

    def close(self) -> None:
        """See OsIpcSender.close."""
        writer, self._writer = self._writer, None
        if writer is not None:
            for reading in tuple(self._waiting):
                reading.interrupt()
            writer.release()

    def __del__(self) -> None:
        if not sys.is_finalizing():
            self.close()

    def _check_open(self) -> None:
        if self._writer is None:
            raise ClosedError("this sender is closed")

    def _retained(self) -> ChannelWriter:
        """Return the writer, with one user more. Raises ClosedError."""
        writer = self._writer
        if writer is None or not writer.retain():
            raise ClosedError("this sender is closed")
        return writer

    def lend(self) -> tuple[Entry, None, Callable[[bool], None]]:
        """See Lendable.lend. The loan is one user more of the writer."""
        writer = self._retained()
        return writer.entry(self.kind), None, lambda sent: writer.release()


def sender_from_entry(entry: Entry) -> WindowsSender:
    """Make the handle for a sender that has arrived; see Makers."""
    pipe = Handle(entry.first)
    try:
        queue = QueueMemory.open(entry.identity)
    except OSError:
        queue = None  # the receiver is gone, and the memory with it
    return WindowsSender(ChannelWriter(pipe, queue, entry.identity))
