"""Things of a program's `__main__`, in programs that cannot import them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from ipc_core.spi import Capability
from ipc_core.testing import programs
from ipc_core.testing.bag import Bag
from ipc_core.testing.children import Children
from ipc_core.testing.marks import each_test, requires
from ipc_core.testing.programs import main_program, pickling
from ipc_core.testing.waiting import BOUND

CHECKS: dict[str, Callable[[Any], Any]] = {
    "order": lambda o: [o.bigger().number, dataclasses.asdict(o),
                        [f.name for f in dataclasses.fields(o)],
                        dataclasses.replace(o, number=5).number],
    "orders": lambda o: [o[0] == o[1], o[0] == o[2], type(o[0]) is type(o[1])],
    "slotted": lambda o: [o.number, o == type(o)(4), hasattr(o, "__dict__")],
    "node": lambda o: [o.next.next.value, type(o).chain(2).next.value],
    "color": lambda c: [c[0] is c[1], c[0].shout(), [m.name for e in c[2].values() for m in e],
                        c[0] is type(c[0])(1)],
    "rights": lambda r: [int(r), r.name],
    "point": lambda p: [p[0].x, p[0].y, p[1](5)._asdict()],
    "pair": lambda p: [p.a, p.b, p._fields],
    "square": lambda s: [s[0].area(), isinstance(s[0], s[1]), s[1].__abstractmethods__],
    "box": lambda b: [b[0].content, b[1][int](3).content],
    "meta": lambda m: [type(m).greet(), m.seven, m.eight(), m.nine],
    "linked": lambda o: [type(o.instances[0]) is type(o), len(o.instances)],
    "failure": lambda e: [e.code, e.args, isinstance(e, Exception)],
    "inner": lambda o: [o.value, type(o).__qualname__],
    "functions": lambda fs: [fs[0](1), fs[1](), fs[2](), fs[3](2), fs[4](1), fs[4].__name__],
    "mutual": lambda f: [f(7), f(8)],
    "shared": lambda fs: [fs[0](), fs[0](), fs[1]()],
    "partial": lambda f: f(),
    "bound": lambda f: f(2).next.value,
    "method": lambda f: f().number,
    "local": lambda o: [o.triple(2), o.same()],
    "text": lambda text: text,
}  # fmt: skip
"""The question for each object that the program sends, asked here and in the program."""


@each_test(requires(Capability.CROSS_PROCESS))
class TestPicklingMain:
    def test_things_of_main(self, bag: Bag, children: Children) -> None:
        """B1: classes, instances and functions of a script's `__main__` work in another program,
        and in a third that got them from there."""
        server, name = bag.server()
        script = children.start_script(main_program, name)
        rx, back_tx = server.accept(BOUND, child=script)
        bag.keep(rx)
        bag.keep(back_tx)
        child, (to_third, from_third) = programs.meet(bag, children, pickling.apply)
        expected = main_program.things()
        order: Any = None
        for key, mine in expected.items():
            sent_key, theirs = rx.recv()
            assert sent_key == key
            wanted = CHECKS[key](mine)
            to_third.send((CHECKS[key], theirs))  # before it is used here
            assert from_third.recv() == wanted, key
            assert CHECKS[key](theirs) == wanted or key == "shared", key
            order = theirs if key == "order" else order
        report: Any = rx.recv()
        to_third.send((report, "from the third"))
        assert [rx.recv(), from_third.recv()] == ["from the third", None]
        bag.keep(report.__globals__["reports"][0])
        back_tx.send(order)
        assert rx.recv() == [True, True], "an object that comes home has the class that it had"
        assert "another program" in rx.recv()
        to_third.send(None)
        assert child.wait(BOUND) == script.wait(BOUND) == 0

    def test_a_class_arrives_as_one(self, bag: Bag, children: Children) -> None:
        """B1: objects from two messages are of one class, and equal."""
        server, name = bag.server()
        script = children.start_script(main_program, name)
        rx, back_tx = server.accept(BOUND, child=script)
        bag.keep(rx)
        things = dict(rx.recv() for _ in main_program.things())
        assert type(things["order"]) is type(things["orders"][0])
        assert things["order"] == type(things["orders"][0])(1, ["a"])
        bag.keep(back_tx).send(things["order"])

    @pytest.mark.parametrize("safe", ["1", "0"])
    def test_safe_mode(
        self, bag: Bag, children: Children, monkeypatch: pytest.MonkeyPatch, safe: str
    ) -> None:
        """I39: with IPC_CORE_SAFE=1 in the environment nothing is unpickled; sending, and
        channels for bytes, work."""
        server, name = bag.server()
        with monkeypatch.context() as context:
            context.setenv("IPC_CORE_SAFE", safe)
            child = children.start(pickling.refuse_pickles, name)
        rx, answers = server.accept(BOUND, child=child)
        bag.keep(rx)
        if safe == "1":
            assert "IPC_CORE_SAFE" in answers.pop(0)
        assert answers == [b"bytes"]
        assert child.wait(BOUND) == 0
