# The front door: `make help` lists what there is. Needs Python 3.11 to 3.13 and GNU make, nothing else.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# What is installed was read from these; a stamp older than one of them means: install again.
LOCAL := $(VENV)/.installed-local
DEV := $(VENV)/.installed-dev

# A complete lock with hashes makes pip's resolver unneeded. Bytecode is written when a module is first imported.
PIP_INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile --no-deps
INSTALL_V2T = $(PIP_INSTALL) --no-build-isolation --editable . >&2

UV ?= $(BIN)/uv
COMPILE = $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
	$(if $(UPGRADE),--upgrade)

CHECKS := check-format check-rules check-types check-layers check-yaml check-roles check-docs

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help install install-dev format check $(CHECKS) test servers test-servers chaos cluster-test molecule durability bench bench-cluster bench-providers docs lock build clean

help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | awk -F '\t' '{ printf "  make %-16s %s\n", $$1, $$2 }'

install: $(LOCAL) ## Set up .venv to transcribe on this machine
install-dev: $(DEV) ## Set up .venv to work on v2t as well

$(BIN)/pip:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' || { \
		echo "v2t needs Python 3.11, 3.12 or 3.13, and '$(PYTHON)' is not one; name it: make PYTHON=python3.12 ..." >&2; \
		exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "$(PYTHON) cannot make virtual environments; on Debian or Ubuntu: apt-get install python3-venv" >&2; \
		exit 1; }
	@$(PYTHON) -m venv $(VENV)

$(LOCAL): requirements/local.txt pyproject.toml | $(BIN)/pip
	@echo "setting up $(VENV) (once, about 450 MB to download)" >&2
	@$(PIP_INSTALL) --require-hashes --requirement requirements/local.txt >&2
	@$(INSTALL_V2T)
	@touch $@

$(DEV): requirements/dev.txt pyproject.toml | $(BIN)/pip
	@echo "setting up $(VENV) for development (once, about 500 MB to download)" >&2
	@$(PIP_INSTALL) --require-hashes --requirement requirements/dev.txt >&2
	@$(INSTALL_V2T)
	@touch $(LOCAL) $@

format: $(DEV) ## Format the code, and mend what ruff can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

check: $(DEV) ## Everything that reads the code without running it (under a minute)
	@$(MAKE) --no-print-directory --jobs 2 --keep-going --output-sync=target $(CHECKS)

check-types: $(DEV)
	$(BIN)/mypy
check-format: $(DEV)
	$(BIN)/ruff format --check .
check-rules: $(DEV)
	$(BIN)/ruff check .
check-layers: $(DEV)
	$(BIN)/lint-imports
check-yaml: $(DEV)
	$(BIN)/yamllint --strict .
check-roles: $(DEV)
	PATH=$(CURDIR)/$(BIN):$$PATH ANSIBLE_ROLES_PATH=roles $(BIN)/ansible-lint --nocolor -qq playbooks roles
check-docs: $(DEV)
	$(BIN)/python docs/generate.py --check

# One process more than there are cores: a third of the time a test waits for something.
test: $(DEV) ## The quick tests (under 5 minutes on 2 cores)
	PYTEST_XDIST_AUTO_NUM_WORKERS=$$(($$(getconf _NPROCESSORS_ONLN) + 1)) \
		$(BIN)/pytest --numprocesses auto --dist worksteal --timeout 240

servers: $(DEV) ## Start real servers on loopback for trying things out, until Ctrl-C
	@PYTHONPATH=tests $(BIN)/python -m support.servers $(SERVERS)

test-servers: $(DEV) ## The tests that need PostgreSQL, Temporal, MinIO, Redis, sshd or whisper.cpp; they start them
	$(BIN)/pytest -m servers --numprocesses 2 --dist loadfile

chaos: $(DEV) ## Break the servers, workers and disks in the middle of real work, and look at the result
	$(BIN)/pytest -m chaos $(CHAOS)

cluster-test: $(DEV) ## Boot bare hosts, make a cluster of them, and look at it
	$(BIN)/pytest -m cluster $(CLUSTER)

molecule: $(DEV) ## Try single roles on hosts of their own
	cd tests && PATH=$(CURDIR)/$(BIN):$$PATH molecule --base-config molecule/shared/config.yml test --all

durability: $(DEV) ## Kill real processes in the middle of real work, and look at the result
	$(BIN)/pytest -m durability

bench: $(DEV) ## Measure speed, words, overhead, memory and stamps; print a table
	@PYTHONPATH=tests $(BIN)/python -m bench.run $(BENCH)

bench-cluster: $(DEV) ## Measure the distributed pipeline on real servers; print a table
	@PYTHONPATH=tests $(BIN)/python -m bench.cluster $(BENCH)

bench-providers: $(DEV) ## Measure what v2t adds to providers on other machines; print a table
	@PYTHONPATH=tests $(BIN)/python -m bench.providers $(BENCH)

docs: $(DEV) ## Write docs/commands.md and docs/configuration.md from the code
	$(BIN)/python docs/generate.py

lock: | $(DEV) ## Write requirements/*.txt from pyproject.toml (UPGRADE=1 takes newer versions)
	$(COMPILE) pyproject.toml --group build --all-extras --output-file requirements/dev.txt
	$(COMPILE) pyproject.toml --group build --extra local --extra faster-whisper --extra models \
		--constraints requirements/dev.txt --output-file requirements/local.txt
	echo uv | $(COMPILE) - --constraints requirements/dev.txt --output-file requirements/installer.txt

build: $(DEV) ## Make wheel and source archive in dist/
	rm -rf dist
	$(BIN)/hatchling build -d dist

clean: ## Remove everything that make made, .venv too
	rm -rf $(VENV) dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find v2t tests docs -name __pycache__ -type d -prune -exec rm -rf {} +
