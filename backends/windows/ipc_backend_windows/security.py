"""Access to kernel objects with a name: for this user only."""

from __future__ import annotations

import ctypes
from ctypes.wintypes import DWORD, HANDLE

from ipc_backend_windows import win32
from ipc_backend_windows.errors import last_error
from ipc_backend_windows.kernel_handles import Handle

_made: list[win32.SECURITY_ATTRIBUTES] = []


def same_user_only() -> win32.SECURITY_ATTRIBUTES:
    """Return attributes that give all rights to this process's user and none to anybody else.

    Children do not inherit handles made with them. Raises OSError.
    """
    if not _made:
        descriptor = ctypes.c_void_p()
        if not win32.ConvertStringSecurityDescriptorToSecurityDescriptor(
            f"D:P(A;;GA;;;{_user()})", win32.SDDL_REVISION_1, ctypes.byref(descriptor), None
        ):
            raise last_error()
        size = ctypes.sizeof(win32.SECURITY_ATTRIBUTES)
        _made.append(win32.SECURITY_ATTRIBUTES(size, descriptor.value, False))
    return _made[0]


def _user() -> str:
    """Return the security identifier of this process's user, as text."""
    value = HANDLE()
    if not win32.OpenProcessToken(win32.CURRENT_PROCESS, win32.TOKEN_QUERY, ctypes.byref(value)):
        raise last_error()
    token = Handle(value.value)
    size = DWORD()
    win32.GetTokenInformation(token.value, win32.TOKEN_USER, None, 0, ctypes.byref(size))
    # TOKEN_USER begins with a pointer to the identifier, which is in the same memory.
    memory = (ctypes.c_void_p * (size.value // ctypes.sizeof(ctypes.c_void_p) + 1))()
    if not win32.GetTokenInformation(
        token.value, win32.TOKEN_USER, memory, ctypes.sizeof(memory), ctypes.byref(size)
    ):
        raise last_error()
    text = ctypes.c_void_p()
    if not win32.ConvertSidToStringSid(memory[0], ctypes.byref(text)):
        raise last_error()
    try:
        return ctypes.wstring_at(text.value or 0)
    finally:
        win32.LocalFree(text.value)
