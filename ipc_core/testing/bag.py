"""Endpoints for a test, closed when it ends."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, TypeVar

import ipc_core
from ipc_core.messages.format import format_for
from ipc_core.messages.message import copied
from ipc_core.spi import Backend, OsIpcReceiver, OsIpcSender
from ipc_core.testing.level import make_channel
from ipc_core.testing.states import wait_until_asleep

T = TypeVar("T")


class Bag(ExitStack):
    """The closables of a test, closed when it ends. Tests may close them before."""

    def __init__(self) -> None:
        super().__init__()
        self._workers: list[Worker] = []
        self.callback(self._join)  # last, when closing has woken the threads that still wait

    def keep(self, closable: T) -> T:
        """Close `closable` too when the test ends."""
        self.callback(closable.close)  # type: ignore[attr-defined]
        return closable

    def channel(
        self, type: object = None, **options: Any
    ) -> tuple[ipc_core.IpcSender[Any], ipc_core.IpcReceiver[Any]]:
        tx, rx = ipc_core.channel(type, **options)
        return self.keep(tx), self.keep(rx)

    def bytes_channel(
        self, max_message: int | None = None
    ) -> tuple[ipc_core.IpcBytesSender, ipc_core.IpcBytesReceiver]:
        tx, rx = ipc_core.bytes_channel(max_message=max_message)
        return self.keep(tx), self.keep(rx)

    def os_channel(self, backend: Backend) -> tuple[OsIpcSender, OsIpcReceiver]:
        """A channel of the backend itself, below the core; bounded if it has no other."""
        tx, rx = make_channel(backend)
        return self.keep(tx), self.keep(rx)

    def os_recv(self, receiver: OsIpcReceiver, timeout: float = 30) -> tuple[bytes, list[Any]]:
        """The next message; its attachments are closed when the test ends."""
        data, attachments = receiver.recv(timeout)
        return copied(data), [self.keep(attachment) for attachment in attachments]

    def forged_channel(
        self, backend: Backend, type: object = None, **options: Any
    ) -> tuple[OsIpcSender, ipc_core.IpcReceiver[Any]]:
        """A channel for messages that no IpcSender would send; with the receiver's format."""
        tx, rx = backend.channel()
        format = format_for(type, **options)
        return self.keep(tx), self.keep(ipc_core.IpcReceiver(rx, backend, format))

    def recv(self, rx: ipc_core.IpcReceiver[T]) -> T:
        """Receive an endpoint or region, and keep it."""
        return self.keep(rx.recv())

    def receiver_set(self) -> ipc_core.IpcReceiverSet:
        return self.keep(ipc_core.IpcReceiverSet())

    def server(
        self, type: object = None, **options: Any
    ) -> tuple[ipc_core.IpcOneShotServer[Any], str]:
        server, name = ipc_core.IpcOneShotServer[Any].new(type, **options)
        return self.keep(server), name

    def connect(self, name: str, type: object = None, **options: Any) -> ipc_core.IpcSender[Any]:
        return self.keep(ipc_core.IpcSender[Any].connect(name, type, **options))

    def region(self, data: bytes) -> ipc_core.IpcSharedMemory:
        return self.keep(ipc_core.IpcSharedMemory.from_bytes(data))

    def allow_descriptors(self, count: int) -> None:
        """Raise this process's limit of open files to that number; skips the test if refused."""
        if sys.platform != "win32":
            try:
                from resource import RLIMIT_NOFILE, getrlimit, setrlimit
            except ImportError:
                return
            soft, hard = getrlimit(RLIMIT_NOFILE)
            if 0 <= hard < count:
                import pytest  # here, for the sake of children that have a bag

                pytest.skip(f"only {hard} open files are allowed, {count} are needed")
            if 0 <= soft < count:
                setrlimit(RLIMIT_NOFILE, (count, hard))
                self.callback(setrlimit, RLIMIT_NOFILE, (soft, hard))

    def thread(self, target: Callable[..., Any], *args: Any) -> Worker:
        """Run a function in a thread; `result()` waits for it and raises its exception."""
        worker = Worker(target, args)
        self._workers.append(worker)
        worker.start()
        return worker

    def _join(self) -> None:
        while self._workers:
            self._workers.pop().join(10)


class Worker(threading.Thread):
    """A thread with a result to ask for."""

    def __init__(self, target: Callable[..., Any], args: tuple[Any, ...]) -> None:
        super().__init__(daemon=True)
        self._call = (target, args)
        self._outcome: Any = None
        self._error: BaseException | None = None

    def run(self) -> None:
        target, args = self._call
        try:
            self._outcome = target(*args)
        except BaseException as error:
            self._error = error
        finally:
            del self._call, target, args

    def wait_until_asleep(self) -> None:
        """Wait until this thread blocks, as far as the system tells."""
        wait_until_asleep(self)

    def result(self, timeout: float = 30) -> Any:
        """Raises TimeoutError when the thread still runs after `timeout` seconds."""
        self.join(timeout)
        if self.is_alive():
            raise TimeoutError(f"the thread still runs after {timeout} s")
        if self._error is not None:
            raise self._error
        return self._outcome
