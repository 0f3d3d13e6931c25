# Two commands are all a newcomer needs: `make demo` and `make test`. Both set everything up first.
VENV := .venv
PY := $(VENV)/bin/python
STAMP := $(VENV)/.ready

.PHONY: setup demo plugins test gates soak mutants gate-b check bench format schemas clean help

help:
	@echo "make demo    set up, then three real microVMs from one PATCH (KEEP=1 leaves them running)"
	@echo "make plugins set up, then build nginx-alpine, postgres and user-api into .cache/volant/plugins"
	@echo "make test    set up, then every test, real guests included"
	@echo "make gates   the long gates: random machine, kill -9 rounds, fuzzing, plugins as guests, mutants"
	@echo "make soak    kill -9 of a daemon over real guests, for DURATION=10m or ROUNDS=n"
	@echo "make gate-b  play EXAMPLES=100000 of the world machine, from batch FIRST=0 on"
	@echo "make mutants seed every known bug, and see that the tests find it"
	@echo "make check   format, lint, types, import contracts"
	@echo "make schemas write docs/openapi.json and docs/schemas/ from the code"
	@echo "make bench   measure, as ratios beside the limit"

setup: $(STAMP)
	@scripts/setup.sh host

$(STAMP): pyproject.toml requirements.lock scripts/setup.sh
	@scripts/setup.sh python
	@touch $(STAMP)

demo: setup
	@$(PY) examples/01_three_microvms/demo.py $(if $(KEEP),--keep)

plugins: setup
	@scripts/setup.sh plugins
	@scripts/plugins.sh

test: setup
	@scripts/setup.sh tests
	@$(PY) -m pytest -n 2 --dist loadfile

gates: setup
	@scripts/setup.sh tests
	@$(PY) -m pytest -n 2 --dist loadfile -m gate
	@$(PY) -m tests.mutants

soak: setup
	@$(PY) -m tests.soak --duration $(or $(DURATION),10m) $(if $(ROUNDS),--rounds $(ROUNDS)) $(ARGS)

gate-b: setup
	@$(PY) -m tests.builders.machine_run $(or $(EXAMPLES),100000) $(or $(FIRST),0)

mutants: setup
	@$(PY) -m tests.mutants $(ARGS)

check: setup
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/ruff check .
	@$(VENV)/bin/mypy
	@$(VENV)/bin/lint-imports --no-cache

bench: setup
	@$(PY) -m bench $(ARGS)

format:
	@$(VENV)/bin/ruff format .
	@$(VENV)/bin/ruff check --fix-only .

schemas: setup
	@$(PY) scripts/schemas.py

clean:
	@rm -rf $(VENV) .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist

.PHONY: lock
lock: # hashes, and no addresses: the file must not say where a package was found
	@$(PY) -m pip install -q uv
	@$(VENV)/bin/uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-annotate --no-header \
		--python-version 3.11 --group dev pyproject.toml -o requirements.lock
