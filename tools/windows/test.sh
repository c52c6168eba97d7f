#!/bin/bash
# Runs on the Windows Python what can be run there: the conformance kit on both backends, the tests
# of the windows backend, and the demo. Anything that cannot be installed or fails is a failure.
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
    # Every call of Wine's asks a server, so that a busy machine needs long for many of them.
    run -m pytest -q -p no:cacheprovider -p ipc_core.testing.plugin --timeout 300 "$@" \
        "${arguments[@]}" || code=$?
    # 5: the caller's arguments leave none of these tests.
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
