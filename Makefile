# The two commands: `make run` and `make test`. `make help` lists the rest.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
ARGS   ?=
# WHEELS=cpu|cu124|metal|...: take upstream's prebuilt llama-cpp-python instead of compiling it.
WHEELS ?=
LLAMA  := $(shell sed -n 's/^llama-cpp-python==\([0-9.]*\).*/\1/p' requirements.lock)

export PIP_DISABLE_PIP_VERSION_CHECK = 1

.PHONY: help run test check soak bench model browser lock clean
.DEFAULT_GOAL := help

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: $(VENV)/.installed  ## install what is missing, fetch the model, start: Discord with DISCORD_TOKEN, else the terminal
	@$(BIN)/glasshead run $(ARGS)

test: $(VENV)/.installed-dev model browser check  ## lint, types, import directions, tests
	$(BIN)/python -m pytest -m "not soak" -n 2 --dist worksteal $(ARGS)

check: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

soak: $(VENV)/.installed-dev model  ## the long tests: kills, load, an hour of traffic compressed
	$(BIN)/python -m pytest -m soak $(ARGS)

bench: $(VENV)/.installed-bench model  ## measure against peers, side by side, into benchmarks/results/
	$(BIN)/python -m benchmarks $(ARGS)

model: $(VENV)/.installed  ## fetch the default model
	@$(BIN)/glasshead model pull

browser:
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null || \
	  { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && echo "Installing Chromium, for the tests of the pages." && \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium >/dev/null; } || \
	  { echo "glasshead: the pages are tested in Chromium: install it (Debian: apt install chromium)" >&2; exit 2; }

lock:  ## resolve the locked versions anew
	uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --custom-compile-command "make lock" --quiet -o requirements.lock
	uv pip compile pyproject.toml --group dev --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --custom-compile-command "make lock" --quiet -c requirements.lock -o requirements-dev.lock

clean:  ## remove the environment; the log and the models stay
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  { echo "glasshead: $(PYTHON) is missing or older than 3.11: install Python 3.11+ or name one with PYTHON=..." >&2; exit 2; }
	@$(PYTHON) -m venv $(VENV) || \
	  { echo "glasshead: no venv module for $(PYTHON): install it (Debian: apt install python3-venv)" >&2; rm -rf $(VENV); exit 2; }
	@$(BIN)/python -m pip install --quiet --upgrade "pip>=25"

$(VENV)/.llama: $(BIN)/python requirements.lock
ifeq ($(WHEELS),)
	@$(BIN)/python -m pip --no-input show --quiet llama-cpp-python 2>/dev/null || command -v c++ >/dev/null || command -v g++ >/dev/null || command -v clang++ >/dev/null || \
	  { echo "glasshead: no C++ compiler: install one (Debian: apt install g++), or WHEELS=cpu for a prebuilt llama.cpp" >&2; exit 2; }
	@echo "Installing. The first time, llama.cpp is compiled for this machine: 5 to 8 minutes on two cores."
else
	$(BIN)/python -m pip install --only-binary llama-cpp-python "llama-cpp-python==$(LLAMA)" \
	  --extra-index-url "https://abetlen.github.io/llama-cpp-python/whl/$(WHEELS)"
endif
	@touch $@

$(VENV)/.installed: $(VENV)/.llama requirements.lock pyproject.toml
	@$(BIN)/python -m pip install --quiet --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install -qq --no-deps -e .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed requirements-dev.lock
	@$(BIN)/python -m pip install --quiet --require-hashes -r requirements-dev.lock
	@touch $@

$(VENV)/.installed-bench: $(VENV)/.installed-dev
	@$(BIN)/python -m pip install --quiet --group bench
	@touch $@
