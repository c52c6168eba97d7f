"""Meetings at a one-shot server when something goes wrong."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from ipc_core import Disconnected, Empty, IpcIOError, IpcOneShotServer, IpcSender
from ipc_core.spi import Capability
from ipc_core.testing.bag import Bag
from ipc_core.testing.children import Children
from ipc_core.testing.leftovers import Leftovers
from ipc_core.testing.level import descriptors
from ipc_core.testing.marks import each_test, requires
from ipc_core.testing.programs import bootstrap as programs
from ipc_core.testing.timing import AtLeast, Soon
from ipc_core.testing.waiting import BOUND

ODD = ["", "\0", "x\0y", "x" * 500, "x" * 100_000, "\udcff", chr(0xD800), "a\nb", "a/b", ".."]


class TestBootstrap:
    def test_bootstrap_failed_connects(self, bag: Bag) -> None:
        """W24: a thousand failed connects leave descriptors level, while their errors are kept."""
        server, name = bag.server()
        client = bag.connect(name)
        gone, gone_name = bag.server()
        gone.close()
        before = descriptors()
        errors = []
        for number in range(1000):
            try:
                IpcSender[int].connect((name, gone_name)[number % 2])
            except IpcIOError as error:
                errors.append(error)
        assert len(errors) == 1000
        assert descriptors() == before
        client.send(1)
        receiver, first = server.accept(BOUND)
        bag.keep(receiver)
        assert first == 1

    def test_bootstrap_only_the_first_client(self, bag: Bag) -> None:
        """I1, I2, W27: a second client is refused within a second, before and after accept,
        and no message of the first client is lost or mixed."""
        server, name = bag.server()
        client = bag.connect(name)
        for number in range(100):
            client.send(number)
        with Soon(1), pytest.raises(IpcIOError):
            bag.connect(name)
        receiver, first = server.accept(BOUND)
        bag.keep(receiver)
        with Soon(1), pytest.raises(IpcIOError):
            bag.connect(name)
        assert [first, *(receiver.recv() for _ in range(99))] == list(range(100))
        client.close()
        with pytest.raises(Disconnected):
            receiver.recv()

    def test_bootstrap_silent_client(self, bag: Bag) -> None:
        """I7, W28: a silent client costs accept its timeout and no more; its later message
        arrives."""
        server, name = bag.server()
        client = bag.connect(name)
        for seconds in (0, 0.05, 0.2):
            with AtLeast(seconds), Soon(seconds + 1), pytest.raises(Empty):
                server.accept(seconds)
        client.send("later")
        receiver, first = server.accept(BOUND)
        bag.keep(receiver)
        assert first == "later"

    @pytest.mark.parametrize("address", ODD, ids=lambda odd: ascii(odd)[:20])
    def test_bootstrap_odd_names(self, bag: Bag, address: str) -> None:
        """I3, W26: any text is refused as an IpcIOError or ValueError that can be shown."""
        server, name = bag.server()
        before = descriptors()
        scheme, _, real = name.partition(":")
        for odd in (address, f"{scheme}:{address}", f"{scheme}:{real}{address or '.'}"):
            with Soon(), pytest.raises((IpcIOError, ValueError)) as raised:
                bag.connect(odd)
            assert str(raised.value)
            assert len(str(raised.value)) < 1000
        assert descriptors() == before
        bag.connect(name).send("unharmed")
        receiver, first = server.accept(BOUND)
        bag.keep(receiver)
        assert first == "unharmed"

    def test_bootstrap_long_temporary_folder(
        self, bag: Bag, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """I13, W25: with a TMPDIR of 150 characters a server works, or says why not; nothing
        appears at a name that was cut."""
        long = tmp_path / ("x" * max(1, 149 - len(str(tmp_path))))
        long.mkdir()
        assert len(str(long)) >= 150
        monkeypatch.setattr(tempfile, "tempdir", str(long))
        try:
            server, name = bag.server()
        except IpcIOError:
            pass
        else:
            assert os.listdir(tmp_path) == [long.name]
            bag.connect(name).send("from afar")
            receiver, first = server.accept(BOUND)
            bag.keep(receiver)
            assert first == "from afar"
        assert os.listdir(long) == []

    @pytest.mark.parametrize("wrong", ["missing", "a file"])
    def test_bootstrap_no_temporary_folder(
        self, bag: Bag, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: str
    ) -> None:
        """I14, W24: with a TMPDIR that is no folder a server works all the same or is an
        IpcIOError, and leaves descriptors level."""
        place = tmp_path / "folder"
        if wrong == "a file":
            place.touch()
        monkeypatch.setattr(tempfile, "tempdir", str(place))
        before = descriptors()
        for _ in range(20):
            try:
                server, name = IpcOneShotServer[str].new()
            except IpcIOError:
                continue
            with server:
                bag.connect(name).close()
                with pytest.raises(Disconnected):
                    server.accept(BOUND)
        assert descriptors() == before

    def test_bootstrap_nobody_else_can_enter(self, bag: Bag) -> None:
        """I15: under any umask the files of a server are for this user only."""
        if not hasattr(os, "umask"):
            pytest.skip("this system has no umask")
        before = Leftovers()
        umask = os.umask(0)
        try:
            bag.server()
        finally:
            os.umask(umask)
        found = before.open_to_others()
        if found is None:
            pytest.skip("its servers have no files")
        assert not found, "other users can enter or read these"


@each_test(requires(Capability.CROSS_PROCESS))
class TestBootstrapDeaths:
    def test_bootstrap_child_that_never_connects(self, bag: Bag, children: Children) -> None:
        """W28: a child that died before it connected costs accept its timeout; the name is still
        good for another."""
        server, name = bag.server()
        assert children.start(programs.leave_early, name).wait(30) == 0
        with AtLeast(0.1), Soon(), pytest.raises(Empty):
            server.accept(0.1)
        bag.connect(name).send("instead")
        receiver, first = server.accept(BOUND)
        bag.keep(receiver)
        assert first == "instead"

    def test_bootstrap_client_silent_for_long(self, bag: Bag, children: Children) -> None:
        """I7, W28: accept comes back from a silent client in another process, and takes its message
        later."""
        server, name = bag.server()
        reports, report = bag.server()
        children.start(programs.stay_silent, name, report)
        report_rx, go = reports.accept(BOUND)
        bag.keep(report_rx)
        with AtLeast(0.2), Soon(), pytest.raises(Empty):
            server.accept(0.2)
        bag.keep(go).send("the word")
        receiver, first = server.accept(BOUND)
        bag.keep(receiver)
        assert first == "the word"

    def test_bootstrap_client_killed_before_its_word(self, bag: Bag, children: Children) -> None:
        """I6, W28: a client killed after it connected is Disconnected within a second."""
        server, name = bag.server()
        reports, report = bag.server()
        child = children.start(programs.stay_silent, name, report)
        report_rx, go = reports.accept(BOUND)
        bag.keep(report_rx)
        bag.keep(go)
        with pytest.raises(Empty):
            server.accept(0)
        child.kill()
        child.wait(30)
        with Soon(1), pytest.raises(Disconnected):
            server.accept(BOUND)

    def test_bootstrap_client_killed_in_its_word(self, bag: Bag, children: Children) -> None:
        """I8, I10: accept returns the whole first message of a client killed while it sends, or
        says that the client left."""
        server, name = bag.server()
        reports, report = bag.server()
        child = children.start(programs.say_much, name, report)
        report_rx, _ = reports.accept(BOUND)
        bag.keep(report_rx)
        child.kill()
        child.wait(30)
        try:
            with Soon():
                receiver, first = server.accept(BOUND)
        except Disconnected:
            return
        bag.keep(receiver)
        assert first == bytes(programs.LARGE)
        assert all(message == first for message in receiver)

    def test_bootstrap_second_process_is_refused(self, bag: Bag, children: Children) -> None:
        """I1, W27: a second process is refused with a reason, before and after accept."""
        server, name = bag.server()
        bag.connect(name).send("first")
        for accepted in (False, True):
            reports, report = bag.server()
            children.start(programs.come_second, name, report)
            report_rx, reason = reports.accept(BOUND)
            bag.keep(report_rx)
            assert reason
            if not accepted:
                receiver, first = server.accept(BOUND)
                bag.keep(receiver)
                assert first == "first"
