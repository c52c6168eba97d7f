"""Mach calls in Python terms, through one bindings object. Their errors become IpcIOError here."""

from __future__ import annotations

import ctypes
import errno
import math
import os
import warnings
from ctypes import byref, c_uint32, c_uint64
from itertools import starmap
from typing import Any

from ipc_backend_macos import mach
from ipc_core.spi import IpcIOError

_bindings: Any = None

_ERRNOS = {
    3: errno.ENOSPC,  # KERN_NO_SPACE: of addresses or of port names
    6: errno.ENOMEM,  # KERN_RESOURCE_SHORTAGE
    mach.BOOTSTRAP_NOT_PRIVILEGED: errno.EPERM,
    mach.BOOTSTRAP_NAME_IN_USE: errno.EADDRINUSE,
    mach.BOOTSTRAP_UNKNOWN_SERVICE: errno.ENOENT,
    mach.MACH_SEND_NO_BUFFER: errno.ENOBUFS,
    mach.MACH_SEND_TOO_LARGE: errno.EMSGSIZE,
}

_LONGEST_WAIT = 0x7FFFFFFF
"""Milliseconds, well inside mach_msg_timeout_t; longer waits go in pieces."""


class ExperimentalWarning(UserWarning):
    """The warning that this backend was never run on a Mac."""


def use(bindings: Any) -> None:
    """Make all calls through this object, which has the functions of `mach.LibSystem`."""
    global _bindings
    _bindings = bindings


def in_use() -> bool:
    """Whether bindings are loaded or set."""
    return _bindings is not None


def system() -> Any:
    """Return the bindings: those of libSystem, loaded on first use, unless `use` has set others.

    Raises IpcIOError where there is no libSystem.
    """
    global _bindings
    if _bindings is None:
        try:
            _bindings = mach.LibSystem()
        except (OSError, AttributeError) as error:
            raise IpcIOError(errno.ENOSYS, f"cannot use {mach.LIBRARY}: {error}") from error
        warnings.warn(
            "the macos backend of ipc-core is experimental: it was tested on a fake kernel, "
            "never on a Mac",
            ExperimentalWarning,
            stacklevel=2,
        )
    return _bindings


def failed(call: str, code: int) -> IpcIOError:
    """Return the exception for a call that returned this code."""
    return IpcIOError(_ERRNOS.get(code, errno.EIO), f"{call} failed with {code:#x}")


def _call(function: str, *arguments: Any) -> None:
    bindings = _bindings or system()
    code = getattr(bindings, function)(bindings.mach_task_self(), *arguments)
    if code:
        raise failed(function, code)


def _allocate(right: int) -> int:
    name = c_uint32()
    _call("mach_port_allocate", right, byref(name))
    return name.value


def new_port() -> int:
    """Allocate a receive right whose queue is as long as the system allows."""
    name = _allocate(mach.MACH_PORT_RIGHT_RECEIVE)
    try:
        limits = mach.Limits(mach.MACH_PORT_QLIMIT_LARGE)
        _call(
            "mach_port_set_attributes", name, mach.MACH_PORT_LIMITS_INFO, byref(limits),
            ctypes.sizeof(limits) // 4,
        )  # fmt: skip
    except BaseException:
        destroy_port(name)
        raise
    return name


def new_port_set() -> int:
    return _allocate(mach.MACH_PORT_RIGHT_PORT_SET)


def make_send(name: int) -> None:
    """Make a send right from a receive right; it has the same name."""
    made, kind = c_uint32(), c_uint32()
    _call("mach_port_extract_right", name, mach.MACH_MSG_TYPE_MAKE_SEND, byref(made), byref(kind))


def release_send(name: int) -> None:
    """Give back a user reference to a send right, send-once right or dead name."""
    if name not in (mach.MACH_PORT_NULL, mach.MACH_PORT_DEAD):
        _call("mach_port_deallocate", name)


def destroy_port(name: int) -> None:
    """Give up a receive right, with all queued messages."""
    _call("mach_port_mod_refs", name, mach.MACH_PORT_RIGHT_RECEIVE, -1)


def destroy_port_set(name: int) -> None:
    _call("mach_port_mod_refs", name, mach.MACH_PORT_RIGHT_PORT_SET, -1)


def move_member(name: int, port_set: int) -> None:
    """Move a receive right into a set, or out of any with MACH_PORT_NULL."""
    _call("mach_port_move_member", name, port_set)


def is_dead(name: int) -> bool:
    """Whether the port of a send right is gone."""
    if name == mach.MACH_PORT_DEAD:
        return True
    kind = c_uint32()
    _call("mach_port_type", name, byref(kind))
    return bool(kind.value & mach.MACH_PORT_TYPE_DEAD_NAME)


def notify(name: int, kind: int, to: int) -> bool:
    """Request a notification about a name at a port of this process; False if the name is dead.

    A dead-name notification adds a reference to the name, which its receiver gives back.
    """
    bindings = _bindings or system()
    previous = c_uint32()
    code = bindings.mach_port_request_notification(
        bindings.mach_task_self(), name, kind, 0, to, mach.MACH_MSG_TYPE_MAKE_SEND_ONCE,
        byref(previous),
    )  # fmt: skip
    if code in (mach.KERN_INVALID_ARGUMENT, mach.KERN_INVALID_RIGHT):
        return False
    if code:
        raise failed("mach_port_request_notification", code)
    release_send(previous.value)
    return True


def send(message: Any, size: int, options: int, codes: list[int]) -> None:
    """Send without waiting; append the code that mach_msg returns to `codes`.

    C code appends it: an exception from a signal handler, which Python raises as soon as the call
    returns, finds the outcome there.
    """
    options |= mach.MACH_SEND_MSG | mach.MACH_SEND_TIMEOUT
    call = (_bindings or system()).mach_msg
    codes.extend(starmap(call, ((message, options, size, 0, 0, 0, 0),)))


def send_note(note: bytes) -> None:
    """Send a message to a port of this process, without waiting. Raises IpcIOError."""
    codes: list[int] = []
    send(mach.buffer_of(note), len(note), 0, codes)
    if codes[-1] != mach.MACH_MSG_SUCCESS:
        raise failed("mach_msg", codes[-1])


def receive(buffer: Any, name: int, timeout: float | None, options: int, codes: list[int]) -> None:
    """Receive on a port or set, for at most about `timeout` seconds, or until a signal comes;
    append the code that mach_msg returns to `codes`, as `send` does.

    A message that does not fit stays in the queue, and its size is in the header.
    """
    options |= mach.MACH_RCV_MSG | mach.MACH_RCV_LARGE | mach.MACH_RCV_INTERRUPT
    milliseconds = 0
    if timeout is not None:
        options |= mach.MACH_RCV_TIMEOUT
        milliseconds = min(math.ceil(min(timeout, 1e9) * 1000), _LONGEST_WAIT)
    call = (_bindings or system()).mach_msg
    codes.extend(starmap(call, ((buffer, options, 0, len(buffer), name, milliseconds, 0),)))


def allocate_memory(size: int) -> int:
    """Map `size` zero bytes; return their address."""
    address = c_uint64()
    _call("vm_allocate", byref(address), size, mach.VM_FLAGS_ANYWHERE)
    return address.value


def release_memory(address: int, size: int) -> None:
    _call("vm_deallocate", address, size)


def new_memory_entry(size: int) -> int:
    """Make an object of `size` zero bytes; return the send right that stands for it."""
    entry, actual = c_uint32(), c_uint64(size)
    _call(
        "mach_make_memory_entry_64", byref(actual), 0,
        mach.MAP_MEM_NAMED_CREATE | mach.VM_PROT_READ | mach.VM_PROT_WRITE, byref(entry), 0,
    )  # fmt: skip
    return entry.value


def map_memory_entry(entry: int, size: int) -> int:
    """Map the object of a memory entry, not a copy; return the address."""
    address = c_uint64()
    access = mach.VM_PROT_READ | mach.VM_PROT_WRITE
    _call(
        "vm_map", byref(address), size, 0, mach.VM_FLAGS_ANYWHERE, entry, 0, 0, access, access,
        mach.VM_INHERIT_SHARE,
    )  # fmt: skip
    return address.value


def _bootstrap_port() -> int:
    name = c_uint32()
    _call("task_get_special_port", mach.TASK_BOOTSTRAP_PORT, byref(name))
    return name.value


def register(service: bytes, name: int) -> None:
    """Publish a send right, which is copied; MACH_PORT_NULL takes the service back."""
    bootstrap = _bootstrap_port()
    try:
        code = system().bootstrap_register2(bootstrap, service, name, 0)
    finally:
        release_send(bootstrap)
    if code:
        raise failed("bootstrap_register2", code)


def look_up(service: bytes) -> int:
    """Return a published send right, which the caller owns."""
    bootstrap = _bootstrap_port()
    name = c_uint32()
    try:
        code = system().bootstrap_look_up(bootstrap, service, byref(name))
    finally:
        release_send(bootstrap)
    if code:
        raise failed("bootstrap_look_up", code)
    return name.value


def watch(name: int) -> int:
    """Return a descriptor that polls readable while a port or set has messages; the caller closes
    it. A kqueue descriptor is neither passed through exec nor inherited by a fork."""
    bindings = system()
    descriptor: int = bindings.kqueue()
    if descriptor >= 0:
        change = mach.Kevent(name, mach.EVFILT_MACHPORT, mach.EV_ADD, 0, 0, None)
        if bindings.kevent(descriptor, byref(change), 1, None, 0, None) >= 0:
            return descriptor
    code = ctypes.get_errno()
    if descriptor >= 0:
        os.close(descriptor)
    raise IpcIOError(code, "no kqueue for a Mach port")
