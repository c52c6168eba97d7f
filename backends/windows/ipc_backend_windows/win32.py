"""Declarations of the calls and constants of kernel32 and advapi32 that this backend uses.

A function that fails returns 0, or INVALID_HANDLE_VALUE if it opens a file or pipe, and leaves the
reason for `ctypes.get_last_error`.
"""

from __future__ import annotations

import ctypes
from ctypes import POINTER, c_size_t, c_uint64, c_void_p
from ctypes.wintypes import BOOL, DWORD, HANDLE, LPCWSTR, LPVOID
from typing import Any

INVALID_HANDLE_VALUE = 2**64 - 1
CURRENT_PROCESS = -1
INFINITE = 0xFFFFFFFF

ERROR_FILE_NOT_FOUND = 2
ERROR_ACCESS_DENIED = 5
ERROR_INVALID_HANDLE = 6
ERROR_NOT_ENOUGH_MEMORY = 8
ERROR_BROKEN_PIPE = 109
ERROR_PIPE_BUSY = 231
ERROR_NO_DATA = 232
ERROR_PIPE_NOT_CONNECTED = 233
ERROR_PIPE_CONNECTED = 535
ERROR_OPERATION_ABORTED = 995
ERROR_IO_PENDING = 997
ERROR_NOT_FOUND = 1168
ERROR_NO_SYSTEM_RESOURCES = 1450
ERROR_COMMITMENT_LIMIT = 1455

STATUS_PENDING = 0x103

WAIT_OBJECT_0 = 0
WAIT_ABANDONED = 0x80
WAIT_TIMEOUT = 258

PIPE_ACCESS_INBOUND = 1
PIPE_ACCESS_DUPLEX = 3
FILE_FLAG_FIRST_PIPE_INSTANCE = 0x00080000
FILE_FLAG_OVERLAPPED = 0x40000000
PIPE_REJECT_REMOTE_CLIENTS = 8
GENERIC_READ = 0x80000000
GENERIC_WRITE = 0x40000000
OPEN_EXISTING = 3
SECURITY_SQOS_PRESENT = 0x00100000

PAGE_READWRITE = 4
FILE_MAP_READ_WRITE = 6

DUPLICATE_CLOSE_SOURCE = 1
DUPLICATE_SAME_ACCESS = 2
PROCESS_DUP_HANDLE = 0x40
PROCESS_QUERY_LIMITED_INFORMATION = 0x1000

TOKEN_QUERY = 8
TOKEN_USER = 1
SDDL_REVISION_1 = 1

HEAP_ZERO_MEMORY = 8


class OVERLAPPED(ctypes.Structure):
    _fields_ = (
        ("Internal", c_size_t),
        ("InternalHigh", c_size_t),
        ("Offset", DWORD),
        ("OffsetHigh", DWORD),
        ("hEvent", HANDLE),
    )


class SECURITY_ATTRIBUTES(ctypes.Structure):  # noqa: N801  the system's name
    _fields_ = (
        ("nLength", DWORD),
        ("lpSecurityDescriptor", LPVOID),
        ("bInheritHandle", BOOL),
    )


_kernel32 = ctypes.WinDLL("kernel32", use_last_error=True)
_advapi32 = ctypes.WinDLL("advapi32", use_last_error=True)


def _declare(function: Any, result: Any, *arguments: Any) -> Any:
    function.restype = result
    function.argtypes = arguments
    return function


CreateNamedPipe = _declare(
    _kernel32.CreateNamedPipeW,
    HANDLE,
    LPCWSTR,
    DWORD,
    DWORD,
    DWORD,
    DWORD,
    DWORD,
    DWORD,
    POINTER(SECURITY_ATTRIBUTES),
)
CreateFile = _declare(
    _kernel32.CreateFileW, HANDLE, LPCWSTR, DWORD, DWORD, LPVOID, DWORD, DWORD, HANDLE
)
ConnectNamedPipe = _declare(_kernel32.ConnectNamedPipe, BOOL, HANDLE, LPVOID)
PeekNamedPipe = _declare(
    _kernel32.PeekNamedPipe, BOOL, HANDLE, LPVOID, DWORD, LPVOID, LPVOID, LPVOID
)
ReadFile = _declare(_kernel32.ReadFile, BOOL, HANDLE, LPVOID, DWORD, LPVOID, LPVOID)
WriteFile = _declare(_kernel32.WriteFile, BOOL, HANDLE, LPVOID, DWORD, LPVOID, LPVOID)
GetOverlappedResult = _declare(
    _kernel32.GetOverlappedResult, BOOL, HANDLE, LPVOID, POINTER(DWORD), BOOL
)
CancelIoEx = _declare(_kernel32.CancelIoEx, BOOL, HANDLE, LPVOID)

CreateEvent = _declare(_kernel32.CreateEventW, HANDLE, LPVOID, BOOL, BOOL, LPCWSTR)
SetEvent = _declare(_kernel32.SetEvent, BOOL, HANDLE)
ResetEvent = _declare(_kernel32.ResetEvent, BOOL, HANDLE)
CreateMutex = _declare(_kernel32.CreateMutexW, HANDLE, POINTER(SECURITY_ATTRIBUTES), BOOL, LPCWSTR)
ReleaseMutex = _declare(_kernel32.ReleaseMutex, BOOL, HANDLE)
WaitForSingleObject = _declare(_kernel32.WaitForSingleObject, DWORD, HANDLE, DWORD)

Sleep = _declare(_kernel32.Sleep, None, DWORD)

CreateFileMapping = _declare(
    _kernel32.CreateFileMappingW,
    HANDLE,
    HANDLE,
    POINTER(SECURITY_ATTRIBUTES),
    DWORD,
    DWORD,
    DWORD,
    LPCWSTR,
)
OpenFileMapping = _declare(_kernel32.OpenFileMappingW, HANDLE, DWORD, BOOL, LPCWSTR)
MapViewOfFile = _declare(_kernel32.MapViewOfFile, c_void_p, HANDLE, DWORD, DWORD, DWORD, c_size_t)
UnmapViewOfFile = _declare(_kernel32.UnmapViewOfFile, BOOL, c_void_p)

CloseHandle = _declare(_kernel32.CloseHandle, BOOL, HANDLE)
DuplicateHandle = _declare(
    _kernel32.DuplicateHandle, BOOL, HANDLE, HANDLE, HANDLE, LPVOID, DWORD, BOOL, DWORD
)
OpenProcess = _declare(_kernel32.OpenProcess, HANDLE, DWORD, BOOL, DWORD)
GetCurrentProcessId = _declare(_kernel32.GetCurrentProcessId, DWORD)
GetProcessTimes = _declare(
    _kernel32.GetProcessTimes,
    BOOL,
    HANDLE,
    POINTER(c_uint64),
    POINTER(c_uint64),
    POINTER(c_uint64),
    POINTER(c_uint64),
)
GetProcessHandleCount = _declare(_kernel32.GetProcessHandleCount, BOOL, HANDLE, POINTER(DWORD))

GetProcessHeap = _declare(_kernel32.GetProcessHeap, HANDLE)
HeapAlloc = _declare(_kernel32.HeapAlloc, c_void_p, HANDLE, DWORD, c_size_t)
HeapFree = _declare(_kernel32.HeapFree, BOOL, HANDLE, DWORD, c_void_p)
LocalFree = _declare(_kernel32.LocalFree, HANDLE, HANDLE)

OpenProcessToken = _declare(_advapi32.OpenProcessToken, BOOL, HANDLE, DWORD, POINTER(HANDLE))
GetTokenInformation = _declare(
    _advapi32.GetTokenInformation, BOOL, HANDLE, DWORD, LPVOID, DWORD, POINTER(DWORD)
)
ConvertSidToStringSid = _declare(_advapi32.ConvertSidToStringSidW, BOOL, LPVOID, POINTER(c_void_p))
ConvertStringSecurityDescriptorToSecurityDescriptor = _declare(
    _advapi32.ConvertStringSecurityDescriptorToSecurityDescriptorW,
    BOOL,
    LPCWSTR,
    DWORD,
    POINTER(LPVOID),
    LPVOID,
)
