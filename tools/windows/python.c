/* python.exe: everything it does is in CPython's own DLL beside it. */
#include <stdio.h>
#include <windows.h>

typedef int (*entry_point)(int, wchar_t **);

int wmain(int count, wchar_t **arguments)
{
    HMODULE python = LoadLibraryW(L"python311.dll");
    entry_point run = python ? (entry_point)(void *)GetProcAddress(python, "Py_Main") : NULL;
    if (run == NULL) {
        fprintf(stderr, "python311.dll: error %lu\n", GetLastError());
        return 120;
    }
    return run(count, arguments);
}
