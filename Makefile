# Every target makes what it needs: the virtual environment, the front end, the tools of the system.
SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
COLLABORATION := $(VENV)/collaboration
PYTHON ?= $(shell for p in python3.13 python3.12 python3.14 python3.11 python3; do \
	command -v $$p >/dev/null && $$p -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& { command -v $$p; break; }; done)
ROOT_FLAG := $(shell [ "$$(id -u)" = 0 ] && echo --allow-root)
NPM := PATH="$(CURDIR)/$(BIN):$$PATH" npm
FRONT_END := $(shell find widgets/src jupyter_ext/src jupyter_ext/schema -type f 2>/dev/null) \
	$(wildcard widgets/*.mjs jupyter_ext/*.mjs widgets/package.json jupyter_ext/package.json) package-lock.json
PANEL := $(VENV)/share/jupyter/labextensions/agent-kernel
ARGS ?=
ONLY ?=
LONG ?=

.PHONY: help install collaboration lab test check fix build bench soak fuzz clean system
help:
	@echo "make lab      open JupyterLab on the quickstart (ARGS='--no-browser --port 9999')"
	@echo "make test     all tests, the browser's too      make check   linters, types, generated files"
	@echo "make fix      format and mend                   make build   wheel and sdist in dist/"
	@echo "make bench    the figures (ONLY=name, LONG=1)   make clean   remove what was made"
	@echo "make soak     faults for 20 minutes (ARGS='--minutes 60')   make fuzz   hostile input (FUZZ=50)"

ifeq ($(OS),Windows_NT)
$(error agent-kernel needs Linux or macOS; on Windows use WSL 2)
endif

$(BIN)/python:
	@[ -n "$(PYTHON)" ] || { echo "Python 3.11 or newer with venv is needed (Debian: apt install python3-venv)."; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --upgrade "pip>=25.1"

$(VENV)/.lab: $(BIN)/python pyproject.toml hatch_build.py $(FRONT_END)
	@echo "Installing agent-kernel and JupyterLab into $(VENV) (a minute or two the first time) …"
	$(BIN)/python -m pip install -q -e ".[lab]"
	@touch $@

$(VENV)/.dev: $(BIN)/python pyproject.toml hatch_build.py
	@echo "Installing the development tools into $(VENV) …"
	$(BIN)/python -m pip install -q -e . --group dev
	@touch $@ $(VENV)/.lab

node_modules/.package-lock.json: package-lock.json | $(VENV)/.dev
	$(NPM) ci --no-audit --no-fund --silent

agent_kernel/static/cell.js: $(FRONT_END) | node_modules/.package-lock.json
	$(NPM) run --silent --workspace widgets build

jupyter_ext/labextension/package.json: $(FRONT_END) | node_modules/.package-lock.json
	$(NPM) run --silent --workspace jupyter_ext build

$(PANEL)/package.json: jupyter_ext/labextension/package.json
	@rm -rf $(PANEL) && mkdir -p $(PANEL)
	@cp -r jupyter_ext/labextension/. jupyter_ext/install.json $(PANEL)/

# The same environment with jupyter-collaboration on top: what is installed already is seen through, not installed again.
$(COLLABORATION)/.made: $(VENV)/.dev
	@echo "Installing jupyter-collaboration into $(COLLABORATION) …"
	$(BIN)/python -m venv --without-pip --clear $(COLLABORATION)
	@echo "import site; site.addsitedir('$$($(BIN)/python -c "import sysconfig; print(sysconfig.get_path('purelib'))")')" \
		> "$$($(COLLABORATION)/bin/python -c "import sysconfig; print(sysconfig.get_path('purelib'))")/main.pth"
	$(COLLABORATION)/bin/python -m pip install -q "jupyter-collaboration>=4"
	@touch $@

collaboration: $(COLLABORATION)/.made

install: $(VENV)/.dev agent_kernel/static/cell.js $(PANEL)/package.json

system:
	@bash tests/system.sh sandbox

lab: system $(VENV)/.lab
	$(BIN)/jupyter lab $(ROOT_FLAG) $(ARGS) notebooks/quickstart.ipynb

check: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(NPM) run --silent typecheck
	$(BIN)/python widgets/generate_events.py --check
	$(BIN)/shellcheck sandbox-image/bootstrap.sh tests/system.sh
	$(BIN)/hadolint --config sandbox-image/hadolint.yaml sandbox-image/Dockerfile

fix: install
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/python widgets/generate_events.py

test: install collaboration
	@bash tests/system.sh sandbox browser desktop
	$(NPM) test --silent
	$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder $(ARGS)

build: install
	$(BIN)/python -m build --outdir dist

bench: install
	@bash tests/system.sh sandbox browser
	$(BIN)/python -m benchmarks $(if $(ONLY),--only $(ONLY)) $(if $(LONG),--long)

soak: install
	@bash tests/system.sh sandbox
	$(BIN)/python -m tests.faults.soak $(ARGS)

fuzz: install
	@bash tests/system.sh sandbox
	AGENT_KERNEL_FUZZ=$(or $(FUZZ),50) $(BIN)/python -m pytest -q tests/fuzz $(ARGS)

clean:
	rm -rf $(VENV) dist build agent_kernel/static jupyter_ext/labextension jupyter_ext/lib node_modules bench.json
	find . -name __pycache__ -prune -exec rm -rf {} +
