"""A backend that wraps another one and makes one mistake: the one that FAULT names.

The conformance kit has to notice. Without FAULT it is faithful.
"""

from __future__ import annotations

import itertools
import mmap
import os
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from ipc_core.plugins import choice
from ipc_core.spi import (
    Backend,
    Capability,
    ClosedError,
    Disconnected,
    Empty,
    Kind,
    hookimpl,
)

FAULT = os.environ.get("FAULT", "")
BASE = os.environ.get("FAULT_BASE", "inprocess")
FORKS = "a forked child uses its parent's connection"
NO_WAY = "has no way into another process"


def unwrapped(handle: Any) -> Any:
    return getattr(handle, "inner", handle)


def wrapped(handle: Any) -> Any:
    classes = {Kind.SENDER: Sender, Kind.RECEIVER: Receiver, Kind.SHARED_MEMORY: Region}
    return classes[handle.kind](handle)


class Handle:
    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


class Sender(Handle):
    kind = Kind.SENDER

    def __init__(self, inner: Any) -> None:
        super().__init__(inner)
        self.held_back: Any = None

    def send(
        self, data: Any, attachments: Sequence[Any] = (), timeout: float | None = None
    ) -> None:
        whole = data if isinstance(data, (bytes, bytearray, memoryview)) else b"".join(data)
        if FAULT == FORKS:
            connection.ask()
        inner = [unwrapped(attachment) for attachment in attachments]
        if FAULT == "drops an attachment" and len(inner) > 1:
            inner.pop()
        if FAULT == "swaps two attachments" and len(inner) > 1:
            inner[0], inner[1] = inner[1], inner[0]
        if FAULT == "truncates" and len(whole) > 60_000:
            whole = whole[:-1]
        if FAULT == "pads to four bytes":
            whole = bytes(whole) + bytes(-len(whole) % 4)
        if FAULT == "takes an empty message for a close" and not whole and not inner:
            self.inner.close()
            return
        if FAULT == "blocks in send" and next(_sent) % 600 == 599:
            time.sleep(100)
        if FAULT == "reorders" and self.held_back is None and not inner and next(_sent) % 3 == 0:
            self.held_back = bytes(whole)
            return
        if FAULT == "a failed send takes the receivers":
            try:
                self.inner.send(whole, inner)
            except Exception:
                for attachment in inner:
                    attachment.close()
                raise
            return
        if FAULT == "accepts without a receiver":
            try:
                self.inner.send(whole, inner)
            except BrokenPipeError:
                return
            return
        if FAULT == "calls a broken channel disconnected":
            try:
                self.inner.send(whole, inner)
            except BrokenPipeError as error:
                raise Disconnected("gone") from error
            return
        self.inner.send(whole, inner)
        if self.held_back is not None:
            late, self.held_back = self.held_back, None
            self.inner.send(late)
        if FAULT == "duplicates" and not inner and next(_sent) % 50 == 49:
            self.inner.send(whole, inner)

    def clone(self) -> Sender:
        if FAULT == "a clone takes the original's place":
            twin = Sender(self.inner.clone())
            self.inner.close()
            return twin
        return Sender(self.inner.clone())


_sent = itertools.count()


class Receiver(Handle):
    kind = Kind.RECEIVER

    def __init__(self, inner: Any) -> None:
        super().__init__(inner)
        self.reused = bytearray(100_000)
        self.leaked: list[int] = []
        self.last: Any = None

    def recv(self, timeout: float | None) -> tuple[Any, Sequence[Any]]:
        if FAULT == "answers a timeout early" and timeout:
            timeout /= 2
        if FAULT == "is late" and timeout:
            time.sleep(6)
        try:
            data, attachments = self.inner.recv(timeout)
        except Disconnected:
            if FAULT == "never reports disconnects":
                time.sleep(100 if timeout is None else timeout)
                raise Empty("nothing") from None
            raise
        except Empty:
            if FAULT == "reports disconnects early":
                raise Disconnected("gone") from None
            if FAULT == "raises TimeoutError":
                raise TimeoutError from None
            raise
        if FAULT == "leaks a descriptor":
            self.leaked.append(os.open(os.devnull, os.O_RDONLY))
        if FAULT == "reuses its buffer" and len(data) <= len(self.reused):
            self.reused[: len(data)] = data
            data = memoryview(self.reused)[: len(data)]
        if FAULT == "loses a message" and not attachments and next(_received) % 40 == 39:
            return self.recv(timeout)
        handles = [wrapped(attachment) for attachment in attachments]
        if FAULT == "gives a wrong kind":
            handles = [Region(h.inner) if h.kind is Kind.SENDER else h for h in handles]
        if FAULT == "a moved receiver is empty":
            for handle in handles:
                if handle.kind is Kind.RECEIVER:
                    drain(handle.inner)
        return data, handles

    def when_ready(self, callback: Callable[[], object]) -> Callable[[], object]:
        if FAULT == "leaves a thread for each wait":
            threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()
        cancel: Callable[[], object] = self.inner.when_ready(callback)
        return cancel

    def close(self) -> None:
        if FAULT == "close does not wake":
            return  # the inner handle closes when it is dropped
        if FAULT == "keeps the unread payloads of dead receivers":
            _kept.extend(drain(self.inner))
        self.inner.close()


_received = itertools.count()


_kept: list[Any] = []


def drain(receiver: Any) -> list[Any]:
    messages = []
    try:
        while True:
            messages.append(receiver.recv(0)[0])
    except (Empty, Disconnected, ClosedError):
        return messages


class Connection:
    """A connection to an engine that breaks when two processes use it: forks share its state."""

    def __init__(self) -> None:
        self._engine = mmap.mmap(-1, 8)
        self._asked = 0
        self._lock = threading.Lock()

    def ask(self) -> None:
        with self._lock:
            if int.from_bytes(self._engine[:8], "little") != self._asked:
                raise RuntimeError("the engine has answered somebody else")
            self._asked += 1
            self._engine[:8] = self._asked.to_bytes(8, "little")


connection = Connection()


class Region(Handle):
    kind = Kind.SHARED_MEMORY

    @property
    def buffer(self) -> memoryview:
        if FAULT == "copies shared memory":
            return memoryview(bytearray(self.inner.buffer))
        view: memoryview = self.inner.buffer
        return view

    def __len__(self) -> int:
        return len(self.inner)

    def clone(self) -> Region:
        return Region(self.inner.clone())


class Set(Handle):
    def __init__(self, inner: Any) -> None:
        super().__init__(inner)
        self.ids: list[int] = []
        self.closed: list[int] = []

    def add(self, receiver: Any, id: int) -> None:
        self.inner.add(unwrapped(receiver), id)
        self.ids.append(id)

    def remove(self, id: int) -> Any:
        return Receiver(self.inner.remove(id))

    def select(self, timeout: float | None, limit: int = 64) -> list[Any]:
        if FAULT == "select answers a timeout early" and timeout:
            timeout /= 2
        results = list(self.inner.select(timeout, limit))
        results = [(i, d, [wrapped(a) for a in attachments]) for i, d, attachments in results]
        if FAULT == "select gives a wrong id" and len(self.ids) > 1:
            results = [(self.ids[0], d, a) for _, d, a in results]
        if FAULT == "starves a receiver" and len(self.ids) > 1:
            results = [r for r in results if r[0] != self.ids[-1]]
        if FAULT == "reports a close twice":
            results += [r for r in results if r[1] is None]
        if FAULT == "never reports a close in a set":
            results = [r for r in results if r[1] is not None]
        if FAULT == "select ignores its limit":
            while more := self.inner.select(0, limit):
                results += [(i, d, [wrapped(a) for a in at]) for i, d, at in more]
        return results


class Server(Handle):
    def __init__(self, inner: Any) -> None:
        super().__init__(inner)
        self.folder = None
        if FAULT == "opens the folder of its servers to all":
            self.folder = tempfile.mkdtemp()
            os.chmod(self.folder, 0o755)
        if FAULT == "names its servers by the clock":
            self.name = str(time.time_ns())
            _names[self.name] = inner.name

    def close(self) -> None:
        self.inner.close()
        if self.folder:
            os.rmdir(self.folder)
            self.folder = None

    def accept(self, timeout: float | None) -> tuple[Any, Any, Any]:
        receiver, data, attachments = self.inner.accept(timeout)
        return Receiver(receiver), data, [wrapped(a) for a in attachments]


_names: dict[str, str] = {}


class FaultyBackend(Backend):
    name: ClassVar[str] = "faulty"
    capabilities: ClassVar[Capability] = choice.backend(BASE).capabilities & ~(
        Capability.FORK if FAULT == FORKS else Capability(0)
    )
    size_hints: ClassVar[tuple[int, ...]] = choice.backend(BASE).size_hints

    def channel(self, capacity: int | None = None) -> tuple[Any, Any]:
        if FAULT == "lets an error of the engine escape":
            os.close(os.open(os.devnull, os.O_RDONLY))
        tx, rx = choice.backend(BASE).channel(capacity)
        return Sender(tx), Receiver(rx)

    def receiver_set(self) -> Any:
        return Set(choice.backend(BASE).receiver_set())

    def one_shot_server(self) -> Any:
        return Server(choice.backend(BASE).one_shot_server())

    def connect(self, name: str) -> Any:
        name = _names.get(name, name)
        try:
            return Sender(choice.backend(BASE).connect(name))
        except OSError:
            if FAULT == "lets a second client in":
                return Sender(choice.backend(BASE).channel()[0])
            raise

    def shared_memory(self, data_or_size: Any) -> Any:
        if FAULT == "never unlinks the files of regions":
            os.close(tempfile.mkstemp()[0])
        return Region(choice.backend(BASE).shared_memory(data_or_size))

    if FAULT != NO_WAY:

        def for_child(self, handle: Any) -> object:
            return choice.backend(BASE).for_child(unwrapped(handle))

        def from_parent(self, inheritable: Any) -> Any:
            return wrapped(choice.backend(BASE).from_parent(inheritable))


@hookimpl
def ipc_core_backend() -> Backend:
    return FaultyBackend()


__all__ = ["ClosedError", "FaultyBackend"]
