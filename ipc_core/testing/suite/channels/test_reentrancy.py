"""Messages sent and received while another one is encoded or decoded."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from ipc_core import Empty, EncodeError, IpcReceiver
from ipc_core.spi import Capability
from ipc_core.testing.bag import Bag
from ipc_core.testing.marks import requires


class Acting:
    """An object that acts while it is encoded; it arrives as a plain value."""

    def __init__(self, value: object, act: Callable[[], None]) -> None:
        self._value = value
        self._act = act

    def __reduce__(self) -> tuple[Any, ...]:
        self._act()
        return tuple, ((self._value,),)


class Receiving:
    """An object that arrives as a message received while it is decoded."""

    def __init__(self, inner: IpcReceiver[Any]) -> None:
        self._inner = inner

    def __reduce__(self) -> tuple[Any, ...]:
        return receive_from, (self._inner,)


class Unsendable:
    """An object that cannot be encoded."""

    def __reduce__(self) -> tuple[Any, ...]:
        raise RuntimeError("not today")


def receive_from(inner: IpcReceiver[Any]) -> Any:
    with inner:
        return inner.recv()


class TestReentrancy:
    def test_send_inside_encoding(self, bag: Bag) -> None:
        """B33: a send from inside the encoding of another goes first; both arrive whole."""
        tx, rx = bag.channel()
        inner_tx = bag.keep(tx.clone())
        tx.send(Acting("hello", lambda: inner_tx.send(None)))
        assert rx.recv() is None
        assert rx.recv() == ("hello",)
        tx.send(None)
        assert rx.recv() is None

    def test_nested_send_keeps_its_attachments(self, bag: Bag) -> None:
        """I93: the inner message carries only its sender, the outer only its own two."""
        ends = {letter: bag.channel() for letter in "abx"}
        outer_tx, outer_rx = bag.channel()
        inner_tx, inner_rx = bag.channel()
        acting = Acting("outer", lambda: inner_tx.send(("inner", ends["x"][0])))
        outer_tx.send([ends["a"][0], acting, ends["b"][0]])
        text, x = inner_rx.recv()
        a, middle, b = outer_rx.recv()
        for letter, sender in zip("xab", (x, a, b), strict=True):
            bag.keep(sender).send(letter)
        assert (text, middle) == ("inner", ("outer",))
        assert [ends[letter][1].recv() for letter in "xab"] == ["x", "a", "b"]

    def test_receive_inside_decoding(self, bag: Bag) -> None:
        """I94: a message received while another is decoded gets its own attachments."""
        (tx1, rx1), (tx2, rx2), (tx3, rx3) = bag.channel(), bag.channel(), bag.channel()
        inner_tx, inner_rx = bag.channel()
        outer_tx, outer_rx = bag.channel()
        inner_tx.send(tx2)
        outer_tx.send([tx1, Receiving(inner_rx), tx3])
        for number, sender in enumerate(outer_rx.recv()):
            bag.keep(sender).send(number)
        assert [rx1.recv(), rx2.recv(), rx3.recv()] == [0, 1, 2]

    def test_failed_encoding_leaves_nothing_behind(self, bag: Bag) -> None:
        """I95: attachments of a failed send are not in the next message of the thread."""
        secret_tx, secret_rx = bag.channel()
        tx, rx = bag.channel()
        other_tx, other_rx = bag.channel()
        public_tx, public_rx = bag.channel()
        with pytest.raises(EncodeError) as caught:
            tx.send([secret_tx, secret_rx, Unsendable()])
        assert isinstance(caught.value.__cause__, RuntimeError)
        other_tx.send(public_tx)
        bag.recv(other_rx).send("public")
        assert public_rx.recv() == "public"
        with pytest.raises(Empty):
            rx.try_recv()
        secret_tx.send("still mine")
        assert secret_rx.recv() == "still mine"

    @requires(Capability.SHARED_MEMORY)
    def test_endpoints_travel_only_in_messages(self, bag: Bag) -> None:
        """I96: pickling or copying an endpoint outside a send is a TypeError that says how."""
        tx, rx = bag.channel()
        for end in (tx, rx, *bag.bytes_channel(), bag.region(b"region")):
            for misuse in (pickle.dumps, copy.copy, copy.deepcopy):
                with pytest.raises(TypeError, match="send"):
                    misuse(end)
        tx.send(1)
        assert rx.recv() == 1

    def test_interrupted_encoding(self, bag: Bag) -> None:
        """I95: KeyboardInterrupt while encoding is not wrapped, and leaves nothing behind."""
        tx, rx = bag.channel()
        secret_tx, _ = bag.channel()

        def interrupt() -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            tx.send([secret_tx, Acting(1, interrupt)])
        tx.send("next")
        assert rx.recv() == "next"
