"""The declarations against a description of the macOS ABI. Nothing here runs on macOS."""

from __future__ import annotations

import ctypes
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ipc_backend_macos import mach

ABI: dict[str, Any] = json.loads((Path(__file__).parent / "mach_abi.json").read_text())

STRUCTURES = {
    "mach_msg_header_t": mach.Header,
    "mach_msg_body_t": mach.Body,
    "mach_msg_port_descriptor_t": mach.PortDescriptor,
    "mach_msg_ool_descriptor_t": mach.OolDescriptor,
    "mach_msg_ool_ports_descriptor_t": mach.OolPortsDescriptor,
    "mach_port_limits": mach.Limits,
}
BIT_FIELDS_AT = 8

POINTERS = (ctypes.c_void_p, ctypes.c_char_p)
SCALARS = {ctypes.c_int32: "i32", ctypes.c_uint32: "u32", ctypes.c_uint64: "u64"}


@pytest.mark.parametrize("source", ["constants", "headers"])
def test_constants(source: str) -> None:
    described = ABI[source] if source == "constants" else ABI[source]["constants"]
    assert described
    for name, value in described.items():
        assert getattr(mach, name) == value, name


def test_every_constant_is_described() -> None:
    described = {*ABI["constants"], *ABI["headers"]["constants"]}
    ours = {n for n, v in vars(mach).items() if n.isupper() and type(v) is int}
    made_up = {"DESCRIPTOR_TYPE_OFFSET", "NOTIFIED_NAME_OFFSET", "MAX_TRAILER_SIZE",
               "MACH_MSGH_BITS_LOCAL_SHIFT", "MACH_MSGH_BITS_VOUCHER_SHIFT"}  # fmt: skip
    assert ours - described == made_up
    assert ABI["structs"]["mach_msg_mac_trailer_t"]["size"] == mach.MAX_TRAILER_SIZE


@pytest.mark.parametrize("name", STRUCTURES)
def test_structures(name: str) -> None:
    described, ours = ABI["structs"][name], STRUCTURES[name]
    assert ctypes.sizeof(ours) == described["size"]
    assert ctypes.alignment(ours) == described["align"]
    fields = [field for field, *_ in ours._fields_]
    assert set(fields) == {*described["offsets"], *described["bits"]}
    for field in fields:
        declared = getattr(ours, field)
        if field in described["offsets"]:
            assert declared.offset == described["offsets"][field]
        else:
            bit, width = described["bits"][field]
            assert (declared.offset, declared.size) == (BIT_FIELDS_AT + bit // 8, width // 8)


def test_packing_agrees_with_the_structures() -> None:
    header = mach.Header.from_buffer_copy(mach.HEADER.pack(1, 2, 3, 4, 5, -6))
    assert [getattr(header, f) for f, *_ in header._fields_] == [1, 2, 3, 4, 5, -6]
    port = mach.PortDescriptor.from_buffer_copy(mach.PORT.pack(1, 2, 3, 4, 5))
    assert [getattr(port, f) for f, *_ in port._fields_] == [1, 2, 3, 4, 5]
    region = mach.OolDescriptor.from_buffer_copy(mach.OOL.pack(1 << 40, 2, 3, 4, 5, 6))
    assert [getattr(region, f) for f, *_ in region._fields_] == [1 << 40, 2, 3, 4, 5, 6]
    for structure, packed in (
        (mach.Header, mach.HEADER), (mach.Body, mach.BODY), (mach.PortDescriptor, mach.PORT),
        (mach.OolDescriptor, mach.OOL), (mach.OolPortsDescriptor, mach.OOL),
    ):  # fmt: skip
        assert ctypes.sizeof(structure) == packed.size
    for structure in (mach.PortDescriptor, mach.OolDescriptor, mach.OolPortsDescriptor):
        assert structure.type_.offset == mach.DESCRIPTOR_TYPE_OFFSET


def test_trailer_and_notification_offsets() -> None:
    trailer = ABI["structs"]["mach_msg_audit_trailer_t"]["offsets"]
    assert trailer["msgh_sender"] == 12  # the user is the fourth number of the trailer
    assert mach.SECURITY_TRAILER.size == trailer["msgh_audit"]  # ours ends where the audit begins
    ndr = 8
    assert mach.HEADER.size + ndr == mach.NOTIFIED_NAME_OFFSET


def test_signatures() -> None:
    for name, described in ABI["functions"].items():
        ours = [
            "pointer" if t in POINTERS or issubclass(t, ctypes._Pointer) else SCALARS[t]
            for t in mach.SIGNATURES[name]
        ]
        assert ours == described, name
    assert set(mach.SIGNATURES) - set(ABI["functions"]) == {
        "mach_port_type", "vm_map", "mach_make_memory_entry_64", "kqueue", "kevent",
    }  # fmt: skip


def test_importing_loads_nothing_of_macos() -> None:
    program = (
        "import sys, importlib, pkgutil, ipc_backend_macos as package\n"
        "for module in pkgutil.iter_modules(package.__path__):\n"
        "    importlib.import_module('ipc_backend_macos.' + module.name)\n"
        "backend = package.ipc_core_backend()\n"
        "from ipc_backend_macos import kernel\n"
        "assert not kernel.in_use()\n"
        "print(backend.unavailable_reason())\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        check=False, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    if sys.platform != "darwin":
        assert done.stdout.strip() == f"it needs Mach, the kernel of macOS; this is {sys.platform}"
