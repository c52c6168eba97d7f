#!/bin/bash
# Run the tests of this repository that the Windows Python can run: those of the windows backend, the
# conformance kit on the windows and inprocess backends, and the demo. Anything that fails, or cannot
# be installed, is a failure. Arguments go to pytest: test.sh [argument ...], such as -k transport.
# LIMIT is the most seconds for each step.
set -euo pipefail
. "$(dirname "$0")/environment.sh"
cd "$repository"
"$tools/make.sh"
run() {
    timeout --kill-after 10 "${LIMIT:-1200}" "$tools/python.sh" "$@"
}
wine --version
run tools/windows/register.py
arguments=("$@")
tests() {
    local code=0
    # Each system call asks Wine's server, which takes long on a busy machine.
    run -m pytest -q -p no:cacheprovider -p ipc_core.testing.plugin --timeout 300 "$@" \
        "${arguments[@]}" || code=$?
    # Exit status 5: the caller's arguments select none of these tests.
    [[ $code = 0 || ( $code = 5 && ${#arguments[@]} -gt 0 ) ]]
}
kit() {
    tests -p tools.kit_report --pyargs ipc_core.testing.suite --ipc-backend "$1" \
        --kit-report "windows-$1"
}
tests backends/windows/tests --ipc-backend windows
kit windows
kit inprocess
run -m ipc_core backends
run -m ipc_core demo ipc_core
run -m ipc_core demo --kill-one ipc_core
