"""The types that type checkers infer; checked by mypy, and harmless to run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ipc_core as ipc

if TYPE_CHECKING:
    from typing_extensions import assert_type


class Order:
    """A class of messages."""


def channels() -> None:
    tx, rx = ipc.channel(int)
    assert_type(tx, ipc.IpcSender[int])
    assert_type(rx.recv(), int)
    assert_type(rx.try_recv_timeout(1), int)
    assert_type(rx.recv_many(10), list[int])
    assert_type([message for message in rx], list[int])  # noqa: C416
    tx.send(1)
    tx.send("one")  # type: ignore[arg-type]

    assert_type(ipc.channel(), tuple[ipc.IpcSender[Any], ipc.IpcReceiver[Any]])
    assert_type(ipc.channel(Order)[1].recv(), Order)
    assert_type(ipc.channel(list[int])[0], ipc.IpcSender[list[int]])
    union: tuple[ipc.IpcSender[int | str], ipc.IpcReceiver[int | str]] = ipc.channel()
    assert_type(union[1].recv(), int | str)


def typed_channels() -> None:
    tx, rx = ipc.channel(Order, codec="msgspec", max_message=1 << 20)
    assert_type(tx, ipc.IpcSender[Order])
    assert_type(rx, ipc.IpcReceiver[Order])
    assert_type(rx.recv(), Order)
    tx.send(Order())
    tx.send("text")  # type: ignore[arg-type]
    assert_type(ipc.channel(codec="msgspec")[1].recv(), Any)
    assert_type(ipc.channel(list[Order], codec="msgspec")[1].recv(), list[Order])
    replies: tuple[ipc.IpcSender[Order | None], ipc.IpcReceiver[Order | None]]
    replies = ipc.channel(Order | None, codec="msgspec")
    assert_type(replies[1].recv(), Order | None)
    nested = ipc.channel(ipc.IpcSender[Order], codec="msgspec")
    assert_type(nested[1].recv(), ipc.IpcSender[Order])
    assert_type(ipc.bytes_channel(max_message=10)[1].recv(), bytes)


def variance(animals: ipc.IpcSender[object], cats: ipc.IpcReceiver[bool]) -> None:
    ints: ipc.IpcSender[int] = animals
    numbers: ipc.IpcReceiver[int] = cats
    words: ipc.IpcReceiver[str] = cats  # type: ignore[assignment]
    del ints, numbers, words


def ends(tx: ipc.IpcSender[int], rx: ipc.IpcReceiver[int]) -> None:
    assert_type(tx.clone(), ipc.IpcSender[int])
    assert_type(tx.to_opaque().to(str), ipc.IpcSender[str])
    assert_type(rx.to_opaque().to(str), ipc.IpcReceiver[str])
    assert_type(rx.to_opaque().to_bytes().recv(), bytes)
    assert_type(ipc.bytes_channel()[1].recv(), bytes)
    with tx as same:
        assert_type(same, ipc.IpcSender[int])
    connected: ipc.IpcSender[Order] = ipc.IpcSender.connect("name")
    connected.send(Order())
    assert_type(ipc.IpcSender[Order].connect("name"), ipc.IpcSender[Order])
    typed = ipc.IpcSender[Order].connect("name", Order, codec="msgspec", max_message=10)
    assert_type(typed, ipc.IpcSender[Order])
    assert_type(ipc.IpcSender.connect("name", Order, codec="msgspec"), ipc.IpcSender[Order])
    union: ipc.IpcSender[int | str] = ipc.IpcSender.connect("name", int | str, codec="msgspec")
    union.send("text")
    assert_type(ipc.IpcBytesSender.connect("name", max_message=10), ipc.IpcBytesSender)


async def streams(rx: ipc.IpcReceiver[int]) -> None:
    assert_type(rx.to_stream(), ipc.IpcStream[int])
    async for message in rx.to_stream():
        assert_type(message, int)


def servers() -> None:
    server, name = ipc.IpcOneShotServer[Order].new()
    assert_type(server, ipc.IpcOneShotServer[Order])
    assert_type(name, str)
    receiver, order = server.accept(timeout=1)
    assert_type(receiver, ipc.IpcReceiver[Order])
    assert_type(order, Order)


def typed_servers() -> None:
    server, _ = ipc.IpcOneShotServer[Order].new(Order, codec="msgspec", max_message=10)
    assert_type(server, ipc.IpcOneShotServer[Order])
    inferred, _ = ipc.IpcOneShotServer.new(Order, codec="msgspec")
    assert_type(inferred, ipc.IpcOneShotServer[Order])
    union: tuple[ipc.IpcOneShotServer[int | str], str]
    union = ipc.IpcOneShotServer.new(int | str, codec="msgspec")
    assert_type(union[0].accept()[1], int | str)


def sets(group: ipc.IpcReceiverSet) -> None:
    for result in group.select():
        match result:
            case ipc.MessageReceived(id, message):
                assert_type(id, int)
                assert_type(message, ipc.IpcMessage)
            case ipc.ChannelClosed(id):
                assert_type(id, int)
