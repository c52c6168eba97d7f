"""Both ends of a channel."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import ClassVar

from ipc_backend_windows import memory, pipes  # noqa: F401  regions may arrive
from ipc_backend_windows.attachments import makes
from ipc_backend_windows.errors import translated
from ipc_backend_windows.kernel_handles import Handle, new_event
from ipc_backend_windows.operation import Operation, is_broken
from ipc_backend_windows.queue_memory import QueueMemory
from ipc_backend_windows.receiver import WindowsReceiver
from ipc_backend_windows.waiting import Deadline, wait
from ipc_backend_windows.wire import Entry
from ipc_backend_windows.writer import ChannelWriter
from ipc_core.spi import Attachment, Buffer, ClosedError, IpcError, Kind


def make_channel() -> tuple[WindowsSender, WindowsReceiver]:
    identity = pipes.new_identity()
    try:
        queue = QueueMemory.create(identity)
        receiving = pipes.serve(identity)
        sending = pipes.connect(identity)
    except OSError as error:
        raise translated(error) from error
    line = ChannelWriter(sending, queue, identity)
    return WindowsSender(line), WindowsReceiver(receiving, queue)


class WindowsSender:
    """See OsIpcSender."""

    kind: ClassVar[Kind] = Kind.SENDER
    _line: ChannelWriter | None = None

    def __init__(self, line: ChannelWriter) -> None:
        self._line = line
        self._waiting: set[Operation] = set()

    def send(
        self,
        data: Buffer | Sequence[Buffer],
        attachments: Sequence[Attachment] = (),
        timeout: float | None = None,
    ) -> None:
        """See OsIpcSender.send; what was accepted is kept by the receiver's process."""
        line = self._retained()
        try:
            line.send(data, attachments)
        finally:
            line.release()

    def clone(self) -> WindowsSender:
        """See OsIpcSender.clone; clones share one handle."""
        return WindowsSender(self._retained())

    def wait_closed(self, timeout: float | None) -> bool:
        """See OsIpcSender.wait_closed. The receiver never writes, so a read ends with it."""
        line = self._retained()
        deadline = Deadline(timeout)
        reading = Operation(line.pipe)
        self._waiting.add(reading)
        try:
            event = new_event()
            while True:
                self._check_open()
                if is_broken(line.pipe):
                    return True
                if deadline.passed():
                    return False
                if not reading.active and reading.read(event):
                    continue
                self._check_open()  # whoever closes from now on interrupts the read
                if wait([event], deadline):
                    reading.result()
        except IpcError:
            raise
        except OSError as error:
            raise translated(error) from error
        finally:
            self._waiting.discard(reading)
            reading.close()
            line.release()

    def close(self) -> None:
        line, self._line = self._line, None
        if line is not None:
            for reading in tuple(self._waiting):
                reading.interrupt()
            line.release()

    def __del__(self) -> None:
        if not sys.is_finalizing():
            self.close()

    def _check_open(self) -> None:
        if self._line is None:
            raise ClosedError("this sender is closed")

    def _retained(self) -> ChannelWriter:
        line = self._line
        if line is None or not line.retain():
            raise ClosedError("this sender is closed")
        return line

    def _lend(self) -> tuple[Entry, None, Callable[[bool], None]]:
        line = self._retained()
        return line.entry(self.kind), None, lambda sent: line.release()


@makes(Kind.SENDER)
def _receive_sender(entry: Entry) -> WindowsSender:
    pipe = Handle(entry.first)
    try:
        queue = QueueMemory.open(entry.identity)
    except OSError:
        queue = None  # the receiver has gone, and the memory with it
    return WindowsSender(ChannelWriter(pipe, queue, entry.identity))
