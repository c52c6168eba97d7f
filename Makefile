# `make demo` shows it at work, `make test` tests it on this Python, `make test-all` everywhere.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
export PIP_CONSTRAINT := $(CURDIR)/.ci/constraints.txt

.PHONY: demo test test-all test-macos test-wasm test-windows platforms lint bench faults soak fuzz clean

demo: $(VENV)/installed
	$(BIN)/ipc-core demo $(ARGS)

# On this Python: the core, the kit on unix and inprocess, lint and types. ARGS: for tox.
test: $(VENV)/installed
ifdef ARGS
	$(BIN)/tox run $(ARGS)
else
	$(BIN)/tox run-parallel --parallel 3 --parallel-no-spinner -e py-core,py-kit,py-own,py-inprocess,types,lint
endif

# Three environments at a time, since much of their time is waiting. Speed is measured alone.
test-all: $(VENV)/installed
	TOX_SKIP_ENV='speed' $(BIN)/tox run-parallel --parallel 3 --parallel-no-spinner
	$(BIN)/tox run -e speed

# On a fake of the Mach kernel.
test-macos: $(VENV)/installed
	$(BIN)/tox run -e macos $(ARGS)

# On a Windows Python under Wine; installs Wine if there is none.
test-windows:
	tools/windows/test.sh $(ARGS)

# On two WebAssembly interpreters, which it installs into .wasm/.
# ARGS: pyodide or wasi, then -- and arguments for pytest.
test-wasm:
	$(PYTHON) tools/wasm/run.py $(ARGS)

# Writes the tables of docs/platforms.md from the last `make test-all`.
platforms:
	$(PYTHON) tools/platforms.py

lint: $(VENV)/installed
	$(BIN)/tox run -e lint,types

# Writes benchmarks/RESULTS.md.
bench: $(VENV)/installed
	$(BIN)/python benchmarks/run_all.py $(ARGS)

# Writes the table of docs/reliability.md.
faults: $(VENV)/installed
	cd tests && ../$(BIN)/python -m faults $(ARGS)

soak: $(VENV)/installed
	cd tests && ../$(BIN)/python -m soak --seconds 600 $(ARGS)

fuzz: $(VENV)/installed
	$(BIN)/python backends/unix/tests/fuzz_receive.py --seconds 600 $(ARGS)

clean:
	rm -rf $(VENV) .cache .wasm .tox .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(VENV)/installed: pyproject.toml backends/*/pyproject.toml .ci/constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) install -e '.[async,cli,msgspec,testing]' -e backends/unix -e backends/inprocess -e backends/macos numpy tox trio
	touch $@
