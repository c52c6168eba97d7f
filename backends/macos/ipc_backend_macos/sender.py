"""The sending end: a share in a send right."""

from __future__ import annotations

import ctypes
import errno
import threading
import time
from collections.abc import Callable, Sequence
from typing import ClassVar

from ipc_backend_macos import kernel, locking, mach, wire
from ipc_backend_macos.outgoing import Parcel
from ipc_backend_macos.remote_port import Destination, adopt
from ipc_core.spi import Attachment, Buffer, ClosedError, IpcIOError, Kind

_LARGEST = 0xFFFFFFFF
"""Bytes that one out-of-line descriptor can describe."""


class MacosSender:
    """See OsIpcSender."""

    kind: ClassVar[Kind] = Kind.SENDER

    def __init__(self) -> None:
        self._destination: Destination | None = None
        self._waiting: list[threading.Lock] = []

    @property
    def destination(self) -> Destination:
        """Raises ClosedError after `close`, and in a forked process."""
        destination = self._destination
        if destination is None:
            raise ClosedError("this sender is closed")
        if destination.forked:
            raise ClosedError("Mach ports are not passed to a forked process")
        return destination

    def send(
        self,
        data: Buffer | Sequence[Buffer],
        attachments: Sequence[Attachment] = (),
        timeout: float | None = None,
    ) -> None:
        """See OsIpcSender.send. What the kernel takes in survives this process; what the port's
        queue has no room for is held here."""
        self.destination  # noqa: B018  raises
        buffers = data if isinstance(data, (list, tuple)) else (data,)
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
        from ipc_backend_macos.attachments import Luggage

        with locking.LOCK:
            destination = self.destination
            luggage = Luggage(attachments)
            if attachments and destination.check_dead():
                attachments = ()  # it fails, and no gate need be made
                luggage = Luggage(())
            parcel = None
            try:
                luggage.pack()
                parcel = Parcel(
                    wire.compose(
                        destination.name,
                        luggage.records,
                        luggage.ports,
                        payload=payload,
                        length=length,
                        region=region[0] if region else None,
                    )
                )
                destination.post(parcel, luggage.lenders)
            finally:
                if parcel is None:
                    luggage.stay()
                else:
                    if region:
                        region.clear()  # the parcel owns it
                    if parcel.accepted or destination.holds(parcel):
                        luggage.sent()
                    else:
                        luggage.come_back(parcel.take_back())

    def clone(self) -> MacosSender:
        """See OsIpcSender.clone; clones share one right."""
        with locking.LOCK:
            copy = MacosSender()
            destination = self.destination
            destination.hold(copy)
            copy._destination = destination
            return copy

    def wait_closed(self, timeout: float | None) -> bool:
        """See OsIpcSender.wait_closed."""
        deadline = None if timeout is None else time.monotonic() + timeout
        with locking.LOCK:
            destination = self.destination
            if destination.check_dead():
                return True
            if timeout == 0:
                return False
            alarm = threading.Lock()
            alarm.acquire()
            destination.watch(wake := _waker(alarm))
            self._waiting.append(alarm)
        try:
            while not destination.dead and self._destination is not None:
                if not _sleep(alarm, deadline):
                    break
            self.destination  # noqa: B018  raises
            return destination.dead
        finally:
            with locking.LOCK:
                destination.unwatch(wake)
                self._waiting.remove(alarm)

    def close(self) -> None:
        """See OsIpcSender.close."""
        with locking.LOCK:
            destination, self._destination = self._destination, None
            if destination is not None:
                for alarm in self._waiting:
                    _waker(alarm)()
                if not destination.forked:
                    destination.drop(self)

    def __del__(self) -> None:
        if self._destination is not None:
            self.close()


def received_sender(name: int, gate: int = mach.MACH_PORT_NULL) -> MacosSender:
    """The sender for a send right, which it takes over with that for a gate."""
    sender = MacosSender()
    with locking.LOCK:
        sender._destination = adopt(name, sender, gate)
    return sender


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
