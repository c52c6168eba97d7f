"""The sending end of a channel: a share in a send right."""

from __future__ import annotations

import ctypes
import errno
import threading
import time
from collections.abc import Callable, Sequence
from typing import ClassVar

from ipc_backend_macos import kernel, locking, mach, wire
from ipc_backend_macos.attachments import Lendable, Loan
from ipc_backend_macos.lingering import linger_at_exit
from ipc_backend_macos.outgoing import OutgoingMessage
from ipc_backend_macos.remote_port import RemotePort, adopt
from ipc_core.spi import Attachment, Buffer, ClosedError, IpcIOError, Kind

_LARGEST = 0xFFFFFFFF
"""Bytes that one out-of-line descriptor can describe."""


class MacosSender(Lendable):
    """See OsIpcSender."""

    kind: ClassVar[Kind] = Kind.SENDER

    def __init__(self) -> None:
        self._remote_port: RemotePort | None = None
        self._waiting: list[threading.Lock] = []

    def open_port(self) -> RemotePort:
        """Return the port to send to. Raises ClosedError after `close`, and in a forked process."""
        port = self._remote_port
        if port is None:
            raise ClosedError("this sender is closed")
        if port.forked:
            raise ClosedError("Mach ports are not passed to a forked process")
        return port

    def send(
        self,
        data: Buffer | Sequence[Buffer],
        attachments: Sequence[Attachment] = (),
        timeout: float | None = None,
    ) -> None:
        """See OsIpcSender.send. A message that the kernel accepts survives this process; one that
        the port's queue has no room for is held here."""
        self.open_port()  # before the work on a large payload
        buffers = (data,) if isinstance(data, (bytes, bytearray, memoryview)) else data
        length = sum(memoryview(buffer).nbytes for buffer in buffers)
        if length <= wire.INLINE_MAX:
            self._post(buffers, length, None, attachments)
            return
        if length > _LARGEST:
            raise IpcIOError(errno.EMSGSIZE, "a message cannot have 4 GiB or more")
        owned: list[int] = []
        try:
            owned.append(kernel.allocate_memory(length))
            _copy(buffers, owned[0])
            self._post((), length, owned, attachments)
        finally:
            for address in owned:
                kernel.release_memory(address, length)

    def _post(
        self,
        payload: Sequence[Buffer],
        length: int,
        region: list[int] | None,
        attachments: Sequence[Attachment],
    ) -> None:
        """Make a message and post it. `region` has the address of an out-of-line payload, and is
        emptied when the message owns that memory.

        An exception may come from a signal handler at any line, so the end of the loan is decided
        by the state of the message: accepted by the kernel or held here, it is gone; else it is
        taken apart, and its receivers come back.
        """
        with locking.LOCK:
            port = self.open_port()
            loan = Loan(attachments)
            if attachments and port.check_dead():
                loan = Loan(())  # the post fails: make no gate for it
            message = None
            try:
                loan.pack()
                message = OutgoingMessage(
                    wire.compose(
                        port.name,
                        loan.records,
                        loan.ports,
                        payload=payload,
                        length=length,
                        region=region[0] if region else None,
                    )
                )
                port.post(message, loan.lenders)
            finally:
                if message is None:
                    loan.roll_back()
                else:
                    if region:
                        region.clear()
                    if message.accepted:
                        loan.commit()
                    elif port.holds(message):
                        loan.commit()
                        linger_at_exit()
                    else:
                        loan.roll_back_returned(message.reclaim())

    def clone(self) -> MacosSender:
        """See OsIpcSender.clone; clones share one right."""
        with locking.LOCK:
            copy = MacosSender()
            port = self.open_port()
            port.hold(copy)
            copy._remote_port = port
            return copy

    def check_lendable(self) -> None:
        """See Lendable.check_lendable."""
        self.open_port()

    def lend(self, loan: Loan) -> None:
        """See Lendable.lend. A sender of a port with held messages goes with a gate."""
        port = self.open_port()
        gate = None if port.dead else port.gate()
        loan.borrow(wire.SENDER, 0, port.name, port)
        if gate is not None:
            loan.borrow_gate(gate)

    def wait_closed(self, timeout: float | None) -> bool:
        """See OsIpcSender.wait_closed."""
        deadline = None if timeout is None else time.monotonic() + timeout
        with locking.LOCK:
            port = self.open_port()
            if port.check_dead():
                return True
            if timeout == 0:
                return False
            alarm = threading.Lock()
            alarm.acquire()
            port.watch(wake := _waker(alarm))
            self._waiting.append(alarm)
        try:
            while not port.dead and self._remote_port is not None:
                if not _sleep(alarm, deadline):
                    break
            self.open_port()
            return port.dead
        finally:
            with locking.LOCK:
                port.unwatch(wake)
                self._waiting.remove(alarm)

    def close(self) -> None:
        """See OsIpcSender.close."""
        with locking.LOCK:
            port, self._remote_port = self._remote_port, None
            if port is not None:
                for alarm in self._waiting:
                    _waker(alarm)()
                if not port.forked:
                    port.drop(self)

    def __del__(self) -> None:
        if self._remote_port is not None:
            self.close()


def adopt_sender(name: int, gate: int = mach.MACH_PORT_NULL) -> MacosSender:
    """Make the sender for a send right. Takes over the right, and that for a gate."""
    sender = MacosSender()
    with locking.LOCK:
        sender._remote_port = adopt(name, sender, gate)
    return sender


def sender_from_rights(names: Sequence[int], _size: int) -> MacosSender:
    """Make the sender for the rights in a message, as `adopt_sender` does."""
    return adopt_sender(*names)


def _copy(buffers: Sequence[Buffer], address: int) -> None:
    for buffer in buffers:
        view = memoryview(buffer).cast("B")
        memoryview((ctypes.c_ubyte * view.nbytes).from_address(address)).cast("B")[:] = view
        address += view.nbytes


def _waker(alarm: threading.Lock) -> Callable[[], None]:
    def wake() -> None:
        try:
            alarm.release()
        except RuntimeError:
            pass  # it has rung already

    return wake


def _sleep(alarm: threading.Lock, deadline: float | None) -> bool:
    """Wait until the alarm rings; False at the deadline. Signal handlers run meanwhile."""
    if deadline is None:
        return alarm.acquire()
    left = deadline - time.monotonic()
    return left > 0 and (alarm.acquire(timeout=min(left, threading.TIMEOUT_MAX)) or True)
