"""Receiving under async, on asyncio and trio."""

from __future__ import annotations

import pickle
import random
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from ipc_core import BrokenChannelError, DecodeError, MovedError
from ipc_core.spi import Backend, Capability
from ipc_core.testing import event_loops
from ipc_core.testing.bag import Bag
from ipc_core.testing.marks import each_test

CANCELLATIONS = 10_000
SOON = 20


def loops() -> list[str]:
    try:
        import trio  # noqa: F401
    except ImportError:
        return ["asyncio"]
    return ["asyncio", "trio"]


def run(loop: str, main: Callable[[], Awaitable[Any]]) -> Any:
    async def limited() -> Any:
        with anyio.fail_after(SOON * 3):
            return await main()

    return event_loops.run(limited, loop)


@each_test(pytest.mark.parametrize("loop", loops()))
class TestStream:
    def test_stream_wakes(self, bag: Bag, loop: str) -> None:
        """B36: a waiting stream wakes when a message comes, also one sent by its own loop."""
        tx, rx = bag.channel()
        stream = bag.keep(rx.to_stream())

        async def main() -> None:
            async with anyio.create_task_group() as group:
                got: list[object] = []

                async def receive() -> None:
                    got.append(await stream.recv())

                group.start_soon(receive)
                await event_loops.all_tasks_blocked()
                assert got == []
                tx.send(5)
            assert got == [5]

        run(loop, main)

    def test_stream_ends(self, bag: Bag, loop: str) -> None:
        """I97: messages, then the end, which stays."""
        tx, rx = bag.channel()
        stream = bag.keep(rx.to_stream())
        with pytest.raises(MovedError):
            rx.recv()
        for i in range(3):
            tx.send(i)
        tx.close()

        async def main() -> None:
            assert [message async for message in stream] == [0, 1, 2]
            assert [message async for message in stream] == []

        run(loop, main)

    def test_stream_bad_message(self, bag: Bag, backend: Backend, loop: str) -> None:
        """I98: a message that does not decode raises once; the next one follows."""
        tx, rx = bag.forged_channel(backend)
        stream = bag.keep(rx.to_stream())
        tx.send(b"no pickle")
        tx.send(pickle.dumps("good"))

        async def main() -> None:
            with pytest.raises(DecodeError):
                await stream.recv()
            assert await stream.recv() == "good"

        run(loop, main)

    def test_stream_many(self, bag: Bag, backend: Backend, loop: str) -> None:
        """I99: a hundred streams on one loop, in order; a descriptor needs no thread."""
        pairs = [bag.channel() for _ in range(100)]
        outs: list[list[int]] = [[] for _ in pairs]
        threads = threading.active_count()

        async def receive(stream: Any, out: list[int]) -> None:
            async with stream:
                out += [message async for message in stream]

        async def main() -> None:
            async with anyio.create_task_group() as group:
                for (_, rx), out in zip(pairs, outs, strict=True):
                    group.start_soon(receive, rx.to_stream(), out)
                for i in range(100):
                    for tx, _ in pairs:
                        tx.send(i)
                    if i % 25 == 0:
                        await event_loops.all_tasks_blocked()
                        if Capability.FILENO in backend.capabilities:
                            assert threading.active_count() == threads
                for tx, _ in pairs:
                    tx.close()

        run(loop, main)
        assert all(out == list(range(100)) for out in outs)

    def test_stream_close(self, bag: Bag, loop: str) -> None:
        """I100, W44: closing a stream breaks the channel."""
        tx, rx = bag.channel()
        stream = rx.to_stream()

        async def main() -> None:
            async with stream:
                tx.send(1)
                assert await stream.recv() == 1

        run(loop, main)
        with pytest.raises(BrokenChannelError):
            tx.send(2)

    @pytest.mark.threads
    def test_stream_cancelled(self, bag: Bag, loop: str) -> None:
        """I101: however often a receive is cancelled, all messages come, in order."""
        tx, rx = bag.channel()
        stream = bag.keep(rx.to_stream())
        chance = random.Random(7)

        def send() -> None:
            with tx:
                for i in range(CANCELLATIONS):
                    tx.send(i)

        async def main() -> list[object]:
            got: list[object] = []
            cancelled = 0
            while True:
                delay = chance.choice([0, 0, 0, 1e-5, 1e-4])
                with anyio.move_on_after(delay) as scope:
                    try:
                        got.append(await stream.__anext__())
                    except StopAsyncIteration:
                        break
                cancelled += scope.cancelled_caught
                if cancelled == CANCELLATIONS // 10:
                    worker.start()
                    cancelled += 1
            return got

        worker = threading.Thread(target=send)
        assert run(loop, main) == list(range(CANCELLATIONS))
        worker.join()

    def test_stream_takes_turns(self, bag: Bag, loop: str) -> None:
        """I53: a stream that always has messages lets other tasks run."""
        tx, rx = bag.channel()
        stream = bag.keep(rx.to_stream())
        for i in range(5_000):
            tx.send(i)

        async def main() -> None:
            turns = 0
            done = False

            async def count() -> None:
                nonlocal turns
                while not done:
                    turns += 1
                    await anyio.lowlevel.checkpoint()

            async with anyio.create_task_group() as group:
                group.start_soon(count)
                for i in range(5_000):
                    assert await stream.recv() == i
                done = True
            assert turns > 10

        run(loop, main)
