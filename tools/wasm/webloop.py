"""Streams on the event loop that runs Pyodide itself: the program awaits, nothing blocks."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Awaitable, Callable
from typing import Any

import anyio

import ipc_core as ipc


async def streams_iterate_to_the_end() -> None:
    tx, rx = ipc.channel()
    for i in range(200):
        tx.send(i)
    tx.close()
    async with rx.to_stream() as stream:
        assert [message async for message in stream] == list(range(200))


async def streams_wake_for_another_task() -> None:
    there_tx, there = ipc.channel()
    back_tx, back = ipc.channel()

    async def answer() -> None:
        with back_tx:
            async with there.to_stream() as requests:
                async for number in requests:
                    back_tx.send(number * number)

    answering = asyncio.ensure_future(answer())
    async with back.to_stream() as answers:
        for number in range(5):
            there_tx.send(number)
            assert await answers.recv() == number * number
        there_tx.close()
        try:
            await answers.recv()
        except ipc.Disconnected:
            pass
        else:
            raise AssertionError("the end was not seen")
    await answering


async def streams_wake_for_a_timer() -> None:
    tx, rx = ipc.channel()
    async with rx.to_stream() as stream:
        asyncio.get_running_loop().call_later(0.02, tx.send, "from the timer")
        assert await stream.recv() == "from the timer"
    tx.close()


async def streams_wake_for_a_timer_whose_moment_has_passed() -> None:
    tx, rx = ipc.channel()
    loop = asyncio.get_running_loop()
    async with rx.to_stream() as stream:
        loop.call_at(loop.time() - 1, tx.send, "late")
        assert await stream.recv() == "late"
        loop.call_later(-1, tx.send, "later")
        assert await stream.recv() == "later"
    tx.close()


async def deadlines_may_pass_before_their_timer_is_set() -> None:
    loop: Any = asyncio.get_running_loop()
    tx, rx = ipc.channel()
    clock = loop.time
    late = 0.0

    def time() -> float:
        """The time, and from the next reading on a second more: a machine that is always busy."""
        nonlocal late
        late += 1
        return float(clock() + late)

    async with rx.to_stream() as stream:
        loop.time = time
        try:
            with anyio.move_on_after(1.5) as scope:
                await stream.recv()
        finally:
            del loop.time
        assert scope.cancelled_caught
        tx.send("kept")
        assert await stream.recv() == "kept"
    tx.close()


async def cancelled_receives_lose_nothing() -> None:
    tx, rx = ipc.channel()
    async with rx.to_stream() as stream:
        try:
            await asyncio.wait_for(stream.recv(), 0.01)
        except asyncio.TimeoutError:
            pass
        else:
            raise AssertionError("there was nothing to receive")
        with anyio.move_on_after(0.01) as scope:
            await stream.recv()
        assert scope.cancelled_caught
        waiting = asyncio.ensure_future(stream.recv())
        await asyncio.sleep(0)
        tx.send("one")
        waiting.cancel()
        await asyncio.wait([waiting])
        tx.send("two")
        got = [] if waiting.cancelled() else [waiting.result()]
        while len(got) < 2:
            got.append(await stream.recv())
        assert got == ["one", "two"]
    tx.close()


async def routers_step_between_awaits() -> None:
    tx, rx = ipc.channel()
    seen: list[Any] = []
    with ipc.Router(threaded=False) as router:
        router.add_route(rx, seen.append)
        asyncio.get_running_loop().call_later(0.01, tx.send, "routed")
        while not router.step():
            await asyncio.sleep(0.005)
    assert seen == ["routed"]
    tx.close()


CHECKS: list[Callable[[], Awaitable[None]]] = [
    streams_iterate_to_the_end,
    streams_wake_for_another_task,
    streams_wake_for_a_timer,
    streams_wake_for_a_timer_whose_moment_has_passed,
    deadlines_may_pass_before_their_timer_is_set,
    cancelled_receives_lose_nothing,
    routers_step_between_awaits,
]


async def main() -> int:
    """Await every check; return the exit code."""
    failed = 0
    for check in CHECKS:
        try:
            await asyncio.wait_for(check(), 30)
        except Exception:
            failed += 1
            print(f"FAILED {check.__name__}")
            traceback.print_exc()
    print(f"{len(CHECKS) - failed} passed, {failed} failed (streams on Pyodide's own loop)")
    return min(failed, 1)
