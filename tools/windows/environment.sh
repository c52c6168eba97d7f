# The place of the Windows Python, and the settings of Wine, for the scripts beside this to source.
# One Python serves every clone of the repository; its folder is named by a hash of its ingredients.
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
