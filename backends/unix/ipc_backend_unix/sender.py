"""The sending end of a channel, with the fast path for small messages."""

from __future__ import annotations

import _socket
import select
from collections.abc import Callable, Sequence

from ipc_backend_unix.attachments import Lendable, Loan
from ipc_backend_unix.descriptors import adopt_socket, close_fds, wait
from ipc_backend_unix.errors import translated
from ipc_backend_unix.readiness import Flag
from ipc_backend_unix.wire import PLAIN, SMALL
from ipc_backend_unix.writer import ChannelWriter
from ipc_core.spi import Attachment, Buffer, ClosedError, DecodeError, IpcError, Kind

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar


_DONTWAIT = _socket.MSG_DONTWAIT


class UnixSender(Lendable):
    """See OsIpcSender."""

    kind: ClassVar[Kind] = Kind.SENDER

    def __init__(self, writer: ChannelWriter) -> None:
        """Take over one use of the writer."""
        self._writer: ChannelWriter | None = writer
        self._waiting: set[Flag] = set()

    def send(
        self,
        data: Buffer | Sequence[Buffer],
        attachments: Sequence[Attachment] = (),
        timeout: float | None = None,
    ) -> None:
        """See OsIpcSender.send. An accepted message is in the kernel and survives this process."""
        writer = self._writer
        if writer is None:
            raise ClosedError("this sender is closed")
        if type(data) is bytes and not attachments and len(data) <= SMALL:
            writer.lock.acquire()
            try:
                if writer.log is None:
                    writer.sock.send(PLAIN + data, _DONTWAIT)
                    return
                if writer.log.append_frame(PLAIN + data):
                    return
            except BlockingIOError:
                pass
            except IpcError:
                raise
            except OSError as error:
                raise translated(error) from error
            finally:
                writer.lock.release()
        if not attachments:
            writer.send(data)
            return
        with Loan(attachments) as loan:
            writer.send(data, loan.entries, loan.fds)

    def clone(self) -> UnixSender:
        """See OsIpcSender.clone. Clones share one descriptor."""
        writer = self._open_writer()
        writer.retain()
        return UnixSender(writer)

    def wait_closed(self, timeout: float | None) -> bool:
        """See OsIpcSender.wait_closed."""
        writer = self._open_writer()
        closed_here = Flag()
        self._waiting.add(closed_here)
        writer.retain()
        try:
            fd = writer.sock.fileno()
            self._open_writer()  # again: closed before the flag was among those that `close` sets?
            events = wait({fd: 0, closed_here.fileno(): select.POLLIN}, timeout)
            if self._writer is None:
                raise ClosedError("this sender was closed")
            return any(ready == fd for ready, _ in events)
        finally:
            writer.release()
            self._waiting.discard(closed_here)
            closed_here.close()

    def close(self) -> None:
        """See OsIpcSender.close."""
        writer, self._writer = self._writer, None
        if writer is not None:
            for flag in tuple(self._waiting):
                flag.set(True)
            writer.release()

    __del__ = close

    def lend(self) -> tuple[int, list[int], Callable[[bool], object]]:
        """See Lendable.lend. A sender stays usable: the loan is one more use of the writer."""
        writer = self._writer
        if writer is None:
            raise ClosedError("this sender is closed")
        writer.retain()
        return 0, [writer.sock.fileno()], writer.release

    def _open_writer(self) -> ChannelWriter:
        if self._writer is None:
            raise ClosedError("this sender is closed")
        return self._writer


def sender_from_fds(fds: list[int], number: int) -> UnixSender:
    """Make a received sender. See Makers."""
    if len(fds) != 1:
        close_fds(fds)
        raise DecodeError(f"a sender cannot have {len(fds)} descriptors")
    return UnixSender(ChannelWriter(adopt_socket(fds[0])))
