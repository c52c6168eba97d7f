# Sourced by the scripts beside it: where the Windows Python is, and how Wine is to behave.
# One Python serves every clone of the repository; what it is made of is part of its folder's name.
tools=$(cd "$(dirname "$0")" && pwd)
repository=$(cd "$tools/../.." && pwd)
made_of=$(cd "$tools" && cat make.sh ./*.c ./*.txt | sha256sum | cut -c 1-16)
home=${XDG_CACHE_HOME:-$HOME/.cache}/ipc-core/windows-$made_of
python=$home/python/python.exe

export WINEPREFIX=$home/prefix WINEARCH=win64 WINEDEBUG=${WINEDEBUG:--all}
export WINEDLLOVERRIDES='winedbg.exe=;mscoree=;mshtml='

windows_path() {
    echo "Z:${1//\//\\}"
}
