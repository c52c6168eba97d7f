"""The calls, constants and layouts of Mach that this backend uses; declarations only.

Values and layouts are those of 64-bit macOS, from <mach/message.h>, <mach/port.h>,
<mach/notify.h>, <mach/memory_object_types.h>, <servers/bootstrap.h> and <sys/event.h>.
Nothing is loaded on import: any system can compare them with a description of the ABI.
"""

from __future__ import annotations

import ctypes
import struct
from ctypes import (
    POINTER,
    c_char_p,
    c_int,
    c_int16,
    c_int32,
    c_uint16,
    c_uint32,
    c_uint64,
    c_void_p,
)
from typing import Any

LIBRARY = "/usr/lib/libSystem.B.dylib"

KERN_SUCCESS = 0
KERN_INVALID_ARGUMENT = 4
KERN_INVALID_NAME = 15
KERN_INVALID_RIGHT = 17
KERN_INVALID_CAPABILITY = 20

BOOTSTRAP_NOT_PRIVILEGED = 1100
BOOTSTRAP_NAME_IN_USE = 1101
BOOTSTRAP_UNKNOWN_SERVICE = 1102
BOOTSTRAP_MAX_NAME_LEN = 128

MACH_PORT_NULL = 0
MACH_PORT_DEAD = 0xFFFFFFFF
MACH_PORT_RIGHT_SEND = 0
MACH_PORT_RIGHT_RECEIVE = 1
MACH_PORT_RIGHT_PORT_SET = 3
MACH_PORT_TYPE_DEAD_NAME = 0x100000
MACH_PORT_LIMITS_INFO = 1
MACH_PORT_QLIMIT_LARGE = 1024
TASK_BOOTSTRAP_PORT = 4

MACH_MSG_TYPE_MOVE_RECEIVE = 16
MACH_MSG_TYPE_MOVE_SEND = 17
MACH_MSG_TYPE_MOVE_SEND_ONCE = 18
MACH_MSG_TYPE_COPY_SEND = 19
MACH_MSG_TYPE_MAKE_SEND = 20
MACH_MSG_TYPE_MAKE_SEND_ONCE = 21

MACH_MSGH_BITS_COMPLEX = 0x80000000
MACH_MSGH_BITS_REMOTE_MASK = 0x1F
MACH_MSGH_BITS_LOCAL_SHIFT = 8
MACH_MSGH_BITS_VOUCHER_SHIFT = 16

MACH_MSG_PORT_DESCRIPTOR = 0
MACH_MSG_OOL_DESCRIPTOR = 1
MACH_MSG_OOL_PORTS_DESCRIPTOR = 2
MACH_MSG_OOL_VOLATILE_DESCRIPTOR = 3
MACH_MSG_GUARDED_PORT_DESCRIPTOR = 4
MACH_MSG_VIRTUAL_COPY = 1

MACH_SEND_MSG = 0x1
MACH_RCV_MSG = 0x2
MACH_RCV_LARGE = 0x4
MACH_SEND_TIMEOUT = 0x10
MACH_SEND_NOTIFY = 0x20
MACH_RCV_TIMEOUT = 0x100
MACH_RCV_INTERRUPT = 0x400
MACH_RCV_TRAILER_SENDER = 2 << 24
"""MACH_RCV_TRAILER_ELEMENTS: the sender's effective user and group, in a trailer of format 0."""

MACH_MSG_SUCCESS = 0
MACH_MSG_MASK = 0x3E00
"""The bits of a code that tell which resources were lost when a failed send was returned."""
MACH_SEND_INVALID_DEST = 0x10000003
MACH_SEND_TIMED_OUT = 0x10000004
MACH_SEND_INVALID_RIGHT = 0x1000000A
MACH_SEND_NO_BUFFER = 0x1000000D
MACH_SEND_TOO_LARGE = 0x1000000E
MACH_RCV_TIMED_OUT = 0x10004003
MACH_RCV_TOO_LARGE = 0x10004004
MACH_RCV_INTERRUPTED = 0x10004005
MAX_TRAILER_SIZE = 68

MACH_NOTIFY_FIRST = 64
MACH_NOTIFY_SEND_POSSIBLE = MACH_NOTIFY_FIRST + 2
MACH_NOTIFY_NO_SENDERS = MACH_NOTIFY_FIRST + 6
MACH_NOTIFY_DEAD_NAME = MACH_NOTIFY_FIRST + 8
NOTIFIED_NAME_OFFSET = 32
"""Where a notification about a name has the name: after the header and an NDR record."""

VM_FLAGS_ANYWHERE = 1
VM_PROT_READ = 1
VM_PROT_WRITE = 2
VM_INHERIT_SHARE = 0
MAP_MEM_NAMED_CREATE = 0x20000

EVFILT_MACHPORT = -8
EV_ADD = 1


class Header(ctypes.Structure):
    """mach_msg_header_t"""

    _fields_ = (
        ("msgh_bits", c_uint32),
        ("msgh_size", c_uint32),
        ("msgh_remote_port", c_uint32),
        ("msgh_local_port", c_uint32),
        ("msgh_voucher_port", c_uint32),
        ("msgh_id", c_int32),
    )


class Body(ctypes.Structure):
    """mach_msg_body_t"""

    _fields_ = (("msgh_descriptor_count", c_uint32),)


class PortDescriptor(ctypes.Structure):
    """mach_msg_port_descriptor_t; its bit fields fill whole bytes."""

    _fields_ = (
        ("name", c_uint32),
        ("pad1", c_uint32),
        ("pad2", c_uint16),
        ("disposition", ctypes.c_uint8),
        ("type_", ctypes.c_uint8),
    )


class OolDescriptor(ctypes.Structure):
    """mach_msg_ool_descriptor_t"""

    _pack_ = 4
    _layout_ = "ms"
    _fields_ = (
        ("address", c_void_p),
        ("deallocate", ctypes.c_uint8),
        ("copy", ctypes.c_uint8),
        ("pad1", ctypes.c_uint8),
        ("type_", ctypes.c_uint8),
        ("size", c_uint32),
    )


class OolPortsDescriptor(ctypes.Structure):
    """mach_msg_ool_ports_descriptor_t"""

    _pack_ = 4
    _layout_ = "ms"
    _fields_ = (
        ("address", c_void_p),
        ("deallocate", ctypes.c_uint8),
        ("copy", ctypes.c_uint8),
        ("disposition", ctypes.c_uint8),
        ("type_", ctypes.c_uint8),
        ("count", c_uint32),
    )


class Limits(ctypes.Structure):
    """mach_port_limits"""

    _fields_ = (("mpl_qlimit", c_uint32),)


class Kevent(ctypes.Structure):
    """struct kevent"""

    _fields_ = (
        ("ident", c_uint64),
        ("filter", c_int16),
        ("flags", c_uint16),
        ("fflags", c_uint32),
        ("data", ctypes.c_int64),
        ("udata", c_void_p),
    )


# The same layouts, for packing and unpacking without an object for each.
HEADER = struct.Struct("<IIIIIi")
BODY = struct.Struct("<I")
PORT = struct.Struct("<IIHBB")
OOL = struct.Struct("<QBBBBI")
GUARDED = struct.Struct("<QHBBI")
"""mach_msg_guarded_port_descriptor_t: context, flags, disposition, type, name."""
SECURITY_TRAILER = struct.Struct("<IIIII")
"""mach_msg_security_trailer_t: type, size, sequence number, effective uid and gid of the sender."""
DESCRIPTOR_TYPE_OFFSET = 11
DESCRIPTOR_SIZES = {
    MACH_MSG_PORT_DESCRIPTOR: PORT.size,
    MACH_MSG_OOL_DESCRIPTOR: OOL.size,
    MACH_MSG_OOL_PORTS_DESCRIPTOR: OOL.size,
    MACH_MSG_OOL_VOLATILE_DESCRIPTOR: OOL.size,
    MACH_MSG_GUARDED_PORT_DESCRIPTOR: GUARDED.size,
}

_name_p = POINTER(c_uint32)
_address_p = POINTER(c_uint64)

SIGNATURES: dict[str, tuple[Any, ...]] = {
    "mach_msg": (c_void_p, c_int32, c_uint32, c_uint32, c_uint32, c_uint32, c_uint32),
    "mach_port_allocate": (c_uint32, c_uint32, _name_p),
    "mach_port_deallocate": (c_uint32, c_uint32),
    "mach_port_mod_refs": (c_uint32, c_uint32, c_uint32, c_int32),
    "mach_port_move_member": (c_uint32, c_uint32, c_uint32),
    "mach_port_extract_right": (c_uint32, c_uint32, c_uint32, _name_p, POINTER(c_uint32)),
    "mach_port_set_attributes": (c_uint32, c_uint32, c_int32, POINTER(Limits), c_uint32),
    "mach_port_request_notification": (
        c_uint32, c_uint32, c_int32, c_uint32, c_uint32, c_uint32, _name_p,
    ),
    "mach_port_type": (c_uint32, c_uint32, POINTER(c_uint32)),
    "task_get_special_port": (c_uint32, c_int, _name_p),
    "bootstrap_register2": (c_uint32, c_char_p, c_uint32, c_uint64),
    "bootstrap_look_up": (c_uint32, c_char_p, _name_p),
    "vm_allocate": (c_uint32, _address_p, c_uint64, c_int),
    "vm_deallocate": (c_uint32, c_uint64, c_uint64),
    "vm_map": (
        c_uint32, _address_p, c_uint64, c_uint64, c_int, c_uint32, c_uint64, c_uint32,
        c_int, c_int, c_uint32,
    ),
    "mach_make_memory_entry_64": (
        c_uint32, POINTER(c_uint64), c_uint64, c_int, _name_p, c_uint32,
    ),
    "kqueue": (),
    "kevent": (c_int, POINTER(Kevent), c_int, c_void_p, c_int, c_void_p),
}  # fmt: skip
"""The types of the arguments. Every function returns an int: a kern_return_t, or the kqueue."""


class LibSystem:
    """The functions of SIGNATURES in a library, with their C types.

    Raises OSError or AttributeError when there is no such library or function.
    """

    def __init__(self, path: str = LIBRARY) -> None:
        library = ctypes.CDLL(path, use_errno=True)
        for name, arguments in SIGNATURES.items():
            function = getattr(library, name)
            function.argtypes = list(arguments)
            function.restype = c_int
            setattr(self, name, function)
        self._task = c_uint32.in_dll(library, "mach_task_self_")

    def mach_task_self(self) -> int:
        """This task's port. It may have another name after a fork, so it is read each time."""
        return self._task.value

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(name)


def buffer_of(message: bytes) -> Any:
    """Return a buffer with these bytes, which the kernel may change."""
    return (ctypes.c_char * len(message)).from_buffer_copy(message)
