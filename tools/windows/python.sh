#!/bin/bash
# Run the Windows Python of make.sh: python.sh [argument ...]. The exit status is Python's.
# The repository's packages are importable and registered, as if installed in editable mode.
set -o pipefail
. "$(dirname "$0")/environment.sh"

path=$(windows_path "$repository/.cache/windows/site")
for folder in "$repository" "$repository"/backends/{windows,inprocess}; do
    path="$path;$(windows_path "$folder")"
done
PYTHONPYCACHEPREFIX=$(windows_path "$home/bytecode")
export PYTHONPATH=$path PYTHONPYCACHEPREFIX

# Wine's first process starts services that hold its standard streams open. The server of the call
# before may be about to end; until it has, a start finds neither it nor room for another.
for _ in {1..60}; do
    wineserver -p60 </dev/null >/dev/null 2>&1
    wine cmd /c exit </dev/null >/dev/null 2>&1 && break
    sleep 1
done

# Under Wine, CPython cannot start with a regular file as a standard stream, hence the pipes.
{ wine "$python" "$@" </dev/null 2>&1 1>&3 3>&- | cat >&2; } 3>&1 | cat
