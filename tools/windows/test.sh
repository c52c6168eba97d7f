#!/bin/bash
# Runs on the Windows Python what can be run there: the conformance kit on both backends, the tests
# of the windows backend, and the demo. Anything that cannot be installed or fails is a failure.
set -euo pipefail
. "$(dirname "$0")/environment.sh"
cd "$repository"
"$tools/make.sh"
run() {
    timeout --kill-after 10 "${LIMIT:-900}" "$tools/python.sh" "$@"
}
wine --version
run tools/windows/register.py
pytest=(-m pytest -q -p no:cacheprovider -p ipc_core.testing.plugin)
kit=("${pytest[@]}" -p tools.kit_report --pyargs ipc_core.testing.suite)
run "${pytest[@]}" backends/windows/tests --ipc-backend windows "$@"
run "${kit[@]}" --ipc-backend windows --kit-report windows-windows "$@"
run "${kit[@]}" --ipc-backend inprocess --kit-report windows-inprocess "$@"
run -m ipc_core backends
run -m ipc_core demo ipc_core
run -m ipc_core demo --kill-one ipc_core
