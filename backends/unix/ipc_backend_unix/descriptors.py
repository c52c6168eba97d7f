"""Sockets, memfds, and descriptors on their way through a socket.

Everything here is close-on-exec from birth and closes itself without a warning: a program leaks
the endpoint above it, which warns.
"""

from __future__ import annotations

import _socket
import array
import fcntl
import os
import select
import stat
import termios
import threading
from collections.abc import Callable, Sequence

from ipc_core.spi import Buffer, DecodeError

MAX_PER_PACKET = 253
"""The kernel refuses more descriptors with EINVAL (SCM_MAX_FD)."""
ANCILLARY_SPACE = _socket.CMSG_SPACE(MAX_PER_PACKET * 4)

_F_ADD_SEALS = 1033
_F_GET_SEALS = 1034
_F_SEAL_SHRINK = 2
_F_SEAL_GROW = 4
_SCM_PIDFD = 4
_POLL_MAX = 2**31 - 1
_DONTWAIT = _socket.MSG_DONTWAIT


class Socket(_socket.socket):
    """A unix SOCK_SEQPACKET socket: a new one, or the owner of a descriptor.

    Derived from the class in C, as in other modules: importing `socket`, whose additions are not
    used here, takes a tenth of the time in which a child starts.
    """

    def __init__(self, fd: int | None = None) -> None:
        super().__init__(_socket.AF_UNIX, _socket.SOCK_SEQPACKET, 0, fd)
        if _socket.getdefaulttimeout() is not None:
            self.settimeout(None)

    def accept(self) -> Socket:
        """Return the connection to a client, see accept(2)."""
        fd, _ = self._accept()  # type: ignore[attr-defined]  # not in typeshed
        return Socket(fd)

    __del__ = _socket.socket.close  # without a warning, also of one that is half made


class Descriptor:
    """The owner of a descriptor that is not a socket."""

    __slots__ = ("fd",)

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def close(self, close: Callable[[int], None] = os.close) -> None:
        fd, self.fd = getattr(self, "fd", -1), -1  # none if an interrupt came before it
        if fd >= 0:
            close(fd)  # bound early: at interpreter exit modules are empty

    __del__ = close


def pair() -> tuple[Socket, Socket]:
    """Make two connected sockets."""
    one, other = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
    return Socket(one.detach()), Socket(other.detach())


def adopt_socket(fd: int) -> Socket:
    """Take over a received descriptor. Raises DecodeError, with it closed, for one that is not a
    connected unix SOCK_SEQPACKET socket."""
    try:
        found = Socket(fd)
    except OSError as error:
        close_fds([fd])
        raise DecodeError(f"an attached descriptor is not a socket: {error}") from error
    try:
        found.getpeername()  # one that was never connected has no other end that could leave
        kind = found.getsockopt(_socket.SOL_SOCKET, _socket.SO_TYPE)
        family = found.getsockopt(_socket.SOL_SOCKET, _socket.SO_DOMAIN)
    except OSError:
        kind = family = -1
    if kind != _socket.SOCK_SEQPACKET or family != _socket.AF_UNIX:
        close_fds([found.detach()])
        raise DecodeError("an attached descriptor is not a connected unix SOCK_SEQPACKET socket")
    return found


def new_memory() -> Descriptor:
    """Make an empty memfd that can be sealed."""
    return Descriptor(os.memfd_create("ipc", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING))


def freeze_size(fd: int) -> int:
    """Seal the size of a memfd, so that nobody changes it any more; return it.

    Raises DecodeError for anything but a memfd: this also keeps out files whose reads block.
    """
    wanted = _F_SEAL_SHRINK | _F_SEAL_GROW
    try:
        if fcntl.fcntl(fd, _F_GET_SEALS) & wanted != wanted:
            fcntl.fcntl(fd, _F_ADD_SEALS, wanted)
    except OSError as error:
        raise DecodeError(f"an attached descriptor is not sealable memory: {error}") from error
    return os.fstat(fd).st_size


def is_kept_from_shrinking(fd: int) -> bool:
    """Return whether the seal against shrinking is set. Raises OSError if it is no memfd."""
    return bool(fcntl.fcntl(fd, _F_GET_SEALS) & _F_SEAL_SHRINK)


def keep_from_shrinking(fd: int) -> None:
    """Seal a memfd against shrinking, so that the pages it has now can be mapped safely.

    Raises OSError if it is no memfd.
    """
    fcntl.fcntl(fd, _F_ADD_SEALS, _F_SEAL_SHRINK)


def filled(fd: int) -> int:
    """Return the bytes that a memfd has, at most as many as take up memory: holes do not count."""
    status = os.fstat(fd)
    return min(status.st_size, status.st_blocks * 512)


def read_at(fd: int, offset: int, least: int, most: int = 0) -> bytes:
    """Read at least `least` bytes of a peer's memfd, up to `most` in the first system call.

    Raises DecodeError if it holds fewer or cannot be read.
    """
    try:
        data = os.pread(fd, max(least, most), offset)
        while len(data) < least:
            more = os.pread(fd, least - len(data), offset + len(data))
            if not more:
                raise DecodeError("a peer's memory shrank while it was read")
            data += more
    except OSError as error:
        raise DecodeError(f"a peer's memory cannot be read: {error}") from error
    return data


def read_into(fd: int, into: bytearray, offset: int) -> None:
    """Fill a buffer from a peer's memfd. Raises DecodeError if it does not hold as much."""
    rest = memoryview(into)
    try:
        while rest:
            taken = os.preadv(fd, [rest], offset)
            if not taken:
                raise DecodeError("a peer's memory shrank while it was read")
            rest, offset = rest[taken:], offset + taken
    except OSError as error:
        raise DecodeError(f"a peer's memory cannot be read: {error}") from error


def write_all(fd: int, buffers: Sequence[Buffer], offset: int) -> None:
    """Write all buffers at an offset; the kernel takes at most 2 GiB at a time."""
    missing = sum(map(len, buffers))
    while True:
        written = os.pwritev(fd, buffers, offset)
        missing -= written
        if not missing:
            return
        offset += written
        buffers = after(buffers, written)


def after(buffers: Sequence[Buffer], written: int) -> list[Buffer]:
    """Return the unwritten rest of `buffers` after a partial write."""
    rest = [memoryview(buffer) for buffer in buffers]
    while written >= len(rest[0]):
        written -= len(rest.pop(0))
    return [rest[0][written:], *rest[1:]]


def send_packet(sock: Socket, buffers: Sequence[Buffer], fds: Sequence[int] = ()) -> None:
    """Send one packet now, or raise BlockingIOError."""
    rights = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, array.array("i", fds))] if fds else ()
    sock.sendmsg(buffers, rights, _DONTWAIT)


def received_fds(ancillary: Sequence[tuple[int, int, bytes]]) -> list[int]:
    """Return the descriptors that came with a packet; each belongs to the caller.

    A peer that gives us a socket may have made it deliver a process descriptor with each packet
    (SO_PASSPIDFD). Those are closed here.
    """
    fds, others = array.array("i"), array.array("i")
    for level, kind, data in ancillary:
        if level == _socket.SOL_SOCKET and kind in (_socket.SCM_RIGHTS, _SCM_PIDFD):
            into = fds if kind == _socket.SCM_RIGHTS else others
            into.frombytes(data[: len(data) - len(data) % fds.itemsize])
    if others:
        close_fds([fd for fd in others if fd >= 0])
    return fds.tolist()


def close_fds(fds: Sequence[int]) -> None:
    """Close received descriptors that are not wanted, of any type, without waiting."""
    for fd in fds:
        if stat.S_ISSOCK(os.fstat(fd).st_mode):
            _do_not_linger(fd)
        os.close(fd)


def _do_not_linger(fd: int) -> None:
    """Take the wait out of closing a socket: a peer may have set it on a network socket."""
    try:
        sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM, 0, fd)
    except OSError:
        return  # opened as a path only (O_PATH)
    try:
        sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_LINGER, bytes(8))
    finally:
        sock.detach()


def unsent(sock: Socket) -> int:
    """Return the bytes of kernel memory that unread packets sent from here occupy (SIOCOUTQ)."""
    answer = fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, b"\0\0\0\0")
    return int.from_bytes(answer, "little")


def unread(sock: Socket) -> int:
    """Return the bytes that can be read here, over all packets (SIOCINQ)."""
    answer = fcntl.ioctl(sock.fileno(), termios.FIONREAD, b"\0\0\0\0")
    return int.from_bytes(answer, "little")


def hangup_poll(sock: Socket) -> select.poll:
    """Make a poll object that reports only that nobody holds the other end any more."""
    poll = select.poll()
    poll.register(sock.fileno(), 0)
    return poll


def acquire(lock: threading.RLock, timeout: float | None) -> bool:
    """Take a lock within `timeout` seconds, any number; None waits. Return whether it was taken."""
    return lock.acquire(timeout=-1 if timeout is None else min(timeout, threading.TIMEOUT_MAX))


def wait(events: dict[int, int], timeout: float | None) -> list[tuple[int, int]]:
    """Wait by poll(2) for at least `timeout` seconds, rounded up to milliseconds; None for ever.

    `events` are the masks by descriptor. Returns the ready descriptors with their events.
    """
    poll = select.poll()
    for fd, mask in events.items():
        poll.register(fd, mask)
    return poll.poll(None if timeout is None else min(timeout * 1000, _POLL_MAX))
