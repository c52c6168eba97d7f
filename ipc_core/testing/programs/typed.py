"""Programs of the child processes in the tests of typed channels.

Each function imports its types itself: they need msgspec, which not every user of the kit has.
"""

from __future__ import annotations

from ipc_core import IpcBytesSender
from ipc_core.testing.bag import Bag


def order(name: str) -> None:
    """Send an order with the sender for the reply, and confirm the reply."""
    from ipc_core.testing.messages import CODEC, Item, Note, Order, Reply

    with Bag() as bag:
        tx = bag.connect(name, Order, codec=CODEC)
        reply_tx, reply_rx = bag.channel(Reply, codec=CODEC)
        tx.send(Order([Item("tea", 2.5)], reply_tx))
        reply = reply_rx.try_recv_timeout(30)
        assert type(reply) is Reply
        tx.send(Order([], note=Note("replied", [reply.number])))


def bomb(name: str) -> None:
    """Send everything that would run code in a receiver that unpickles, and then leave."""
    from ipc_core.testing.messages import bombs

    with IpcBytesSender.connect(name) as tx:
        for each in bombs():
            tx.send(each)


def pickle_instead(name: str) -> None:
    """Connect with another codec than the server's."""
    with Bag() as bag:
        bag.connect(name).send({"items": []})
