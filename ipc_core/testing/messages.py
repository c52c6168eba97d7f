"""Messages for the tests of typed channels. Needs msgspec: imported by the tests that have it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, Optional, TypedDict, Union

import msgspec
from msgspec.msgpack import Ext

from ipc_core import (
    IpcBytesReceiver,
    IpcBytesSender,
    IpcReceiver,
    IpcSender,
    IpcSharedMemory,
    OpaqueIpcReceiver,
    OpaqueIpcSender,
)
from ipc_core.testing.bombs import pickles, wrapped

CODEC = "msgspec"
TAG = b"\x01msgspec\0"


class Reply(msgspec.Struct):
    number: int


ReplySender = IpcSender[Reply]
ReplySenders = list[ReplySender]
ReplyReceiver = IpcReceiver[Reply]


class Item(msgspec.Struct):
    name: str
    price: float


@dataclass
class Note:
    text: str
    pages: list[int]


Notes = list[Note]


class Address(TypedDict):
    street: str
    number: int


class Point(NamedTuple):
    x: float
    y: float


class Circle(msgspec.Struct, tag=True):
    center: Point
    radius: float


class Square(msgspec.Struct, tag=True):
    corner: Point
    side: float


Shape = Union[Circle, Square]


class Order(msgspec.Struct):
    items: list[Item]
    reply: Optional[IpcSender[Reply]] = None
    note: Optional[Note] = None
    address: Optional[Address] = None
    shapes: dict[str, Shape] = {}


class Ends(msgspec.Struct):
    """Every kind of endpoint, in every kind of place."""

    sender: IpcSender[Reply]
    bytes_sender: IpcBytesSender
    opaque_sender: OpaqueIpcSender
    receiver: IpcReceiver[Reply]
    bytes_receiver: IpcBytesReceiver
    opaque_receiver: OpaqueIpcReceiver
    several: list[IpcSender[Order]]
    by_name: dict[str, IpcReceiver[Reply]]
    there: Optional[IpcSender[Reply]] = None
    absent: Optional[IpcReceiver[Reply]] = None


class Memory(msgspec.Struct):
    region: IpcSharedMemory
    others: list[IpcSharedMemory] = []


class Tree(msgspec.Struct):
    branches: list[Tree]
    reply: Optional[IpcSender[Tree]] = None


def forged(value: object) -> bytes:
    """Return a message as a hostile peer may write it."""
    return TAG + msgspec.msgpack.encode(value)


def slot(number: object) -> Ext:
    """Return the placeholder of an attachment in a message."""
    return Ext(0x49, msgspec.msgpack.encode(number))


def bombs() -> Iterator[bytes]:
    """Payloads of which each would run code in a receiver that unpickles anything."""
    yield from wrapped(CODEC)
    for each in pickles():
        yield forged(each)
        yield forged({"items": [], "reply": Ext(0x49, each)})
        yield forged({"items": [], "note": Ext(1, each)})
        yield forged({"items": [{"name": each, "price": 1.0}]})
