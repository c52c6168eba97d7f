"""The bytes of messages, on which processes of any version must agree. Nothing here runs on
macOS."""

from __future__ import annotations

from ipc_backend_macos import wire
from ipc_backend_macos.mach import MACH_MSG_TYPE_COPY_SEND, MACH_MSG_TYPE_MOVE_RECEIVE

from ipc_core.spi import Kind

COPY_SEND_COMPLEX = "13000080"
DESTINATION = "03010000"
NOTHING = "00000000"
MESSAGE_ID = "01637069"


def test_small_message() -> None:
    made = wire.compose(0x103, [], [], payload=[b"hel", b"lo"], length=5)
    assert made == bytes.fromhex(
        COPY_SEND_COMPLEX + "38000000" + DESTINATION + NOTHING + NOTHING + MESSAGE_ID
        + "00000000"  # no descriptors
        + "6369" "01" "00" "00000000" "0500000000000000"  # magic, version, flags, counts
        + "00000000"  # to a multiple of 8: 44 bytes so far
        + "68656c6c6f" "000000"
    )  # fmt: skip


def test_message_with_attachments() -> None:
    ports = [
        wire.port_descriptor(0x203, MACH_MSG_TYPE_COPY_SEND),
        wire.port_descriptor(0x303, MACH_MSG_TYPE_MOVE_RECEIVE),
        wire.port_descriptor(0x403, MACH_MSG_TYPE_COPY_SEND),
    ]
    records = [(wire.SENDER, 0), (wire.RECEIVER, 0), (wire.REGION, 70_000)]
    records.append((wire.EMPTY_REGION, 0))
    made = wire.compose(0x103, records, ports, payload=[b"hello"], length=5)
    assert made == bytes.fromhex(
        COPY_SEND_COMPLEX + "80000000" + DESTINATION + NOTHING + NOTHING + MESSAGE_ID
        + "03000000"
        + "03020000" "00000000" "0000" "13" "00"
        + "03030000" "00000000" "0000" "10" "00"
        + "03040000" "00000000" "0000" "13" "00"
        + "6369" "01" "00" "04000000" "0500000000000000"
        + "01" "0000000000000000"
        + "02" "0000000000000000"
        + "03" "7011010000000000"
        + "04" "0000000000000000"
        + "00000000"  # 116 bytes so far
        + "68656c6c6f" "000000"
    )  # fmt: skip


def test_message_out_of_line() -> None:
    gate = [wire.port_descriptor(name, MACH_MSG_TYPE_COPY_SEND) for name in (0x203, 0x303)]
    made = wire.compose(
        0x103, [(wire.GATED_SENDER, 0)], gate, length=100_000, region=0x7F0012340000
    )
    assert made == bytes.fromhex(
        COPY_SEND_COMPLEX + "60000000" + DESTINATION + NOTHING + NOTHING + MESSAGE_ID
        + "03000000"
        + "03020000" "00000000" "0000" "13" "00"
        + "03030000" "00000000" "0000" "13" "00"
        + "00003412007f0000" "01" "01" "00" "01" "a0860100"
        + "6369" "01" "01" "01000000" "a086010000000000"
        + "05" "0000000000000000"
        + "000000"  # 93 bytes so far
    )  # fmt: skip


def test_meeting() -> None:
    assert wire.hello(0x103, 0x203, b"ipc-core.ab") == bytes.fromhex(
        "13150000" "34000000" "03010000" "03020000" "00000000" "02637069"
        "6369" "01" "00" "00000000" "0b00000000000000" "6970632d636f72652e6162" "00"
    )  # fmt: skip
    assert wire.welcome(0x103, 0x203) == bytes.fromhex(
        "12000080" "28000000" "03010000" "00000000" "00000000" "03637069"
        "01000000" "03020000" "00000000" "0000" "11" "00"
    )  # fmt: skip
    assert wire.refusal(0x103) == bytes.fromhex(
        "12000000" "18000000" "03010000" "00000000" "00000000" "04637069"
    )  # fmt: skip


def test_nudge() -> None:
    assert wire.nudge(0x103) == bytes.fromhex(
        "15000000" "18000000" "03010000" "00000000" "00000000" "05637069"
    )  # fmt: skip


def test_reminder() -> None:
    assert wire.reminder(0x103, 0x203) == bytes.fromhex(
        "15000000" "1c000000" "03010000" "00000000" "00000000" "06637069" "03020000"
    )  # fmt: skip


def test_kinds_are_those_of_the_spi() -> None:
    assert (wire.SENDER, wire.RECEIVER, wire.REGION) == (
        Kind.SENDER, Kind.RECEIVER, Kind.SHARED_MEMORY,
    )  # fmt: skip
