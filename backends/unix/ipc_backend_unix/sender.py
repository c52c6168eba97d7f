"""The sending end: the fast path for small messages, and what a sender and its clones share."""

from __future__ import annotations

import _socket
import select
from collections.abc import Callable, Sequence

from ipc_backend_unix.attachments import makes
from ipc_backend_unix.descriptors import adopt_socket, close_fds, wait
from ipc_backend_unix.errors import translated
from ipc_backend_unix.readiness import Flag
from ipc_backend_unix.wire import PLAIN
from ipc_backend_unix.writer import SMALL, SendLine
from ipc_core.spi import Attachment, Buffer, ClosedError, DecodeError, IpcError, Kind

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar


_DONTWAIT = _socket.MSG_DONTWAIT


class UnixSender:
    """See OsIpcSender."""

    kind: ClassVar[Kind] = Kind.SENDER

    def __init__(self, line: SendLine) -> None:
        self._line: SendLine | None = line
        self._waiting: set[Flag] = set()

    def send(
        self,
        data: Buffer | Sequence[Buffer],
        attachments: Sequence[Attachment] = (),
        timeout: float | None = None,
    ) -> None:
        """See OsIpcSender.send; what was accepted is in the kernel and survives this process."""
        line = self._line
        if line is None:
            raise ClosedError("this sender is closed")
        if type(data) is bytes and not attachments and len(data) <= SMALL:
            line.lock.acquire()
            try:
                if line.log is None:
                    line.sock.send(PLAIN + data, _DONTWAIT)
                    return
                if line.log.append_frame(PLAIN + data):
                    return
            except BlockingIOError:
                pass
            except IpcError:
                raise
            except OSError as error:
                raise translated(error) from error
            finally:
                line.lock.release()
        line.send(data, attachments)

    def clone(self) -> UnixSender:
        """See OsIpcSender.clone; clones share one descriptor."""
        line = self._open_line()
        line.retain()
        return UnixSender(line)

    def wait_closed(self, timeout: float | None) -> bool:
        line = self._open_line()
        closed_here = Flag()
        self._waiting.add(closed_here)
        line.retain()
        try:
            fd = line.sock.fileno()
            self._open_line()  # closed before it could tell this wait?
            events = wait({fd: 0, closed_here.fileno(): select.POLLIN}, timeout)
            if self._line is None:
                raise ClosedError("this sender was closed")
            return any(ready == fd for ready, _ in events)
        finally:
            line.release()
            self._waiting.discard(closed_here)
            closed_here.close()

    def close(self) -> None:
        line, self._line = self._line, None
        if line is not None:
            for flag in tuple(self._waiting):
                flag.set(True)
            line.release()

    __del__ = close

    def _open_line(self) -> SendLine:
        if self._line is None:
            raise ClosedError("this sender is closed")
        return self._line

    def _lend(self) -> tuple[int, list[int], Callable[[bool], None]]:
        line = self._open_line()
        line.retain()
        return 0, [line.sock.fileno()], lambda sent: line.release()


@makes(Kind.SENDER)
def _make_sender(fds: list[int], number: int) -> UnixSender:
    if len(fds) != 1:
        close_fds(fds)
        raise DecodeError(f"a sender cannot have {len(fds)} descriptors")
    return UnixSender(SendLine(adopt_socket(fds[0])))
