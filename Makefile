# The two commands: `make run` and `make test`. `make help` lists the rest.

# The first of these that is new enough: some systems have an older python3 beside a newer one.
PYTHON ?= $(firstword $(foreach python,python3 python3.13 python3.12 python3.11,$(shell \
  $(python) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $(python))) python3)
VENV   ?= .venv
BIN    := $(VENV)/bin
ARGS   ?=
# WHEELS=cpu|cu124|metal|...: take upstream's prebuilt llama-cpp-python instead of compiling it.
WHEELS ?=
# What packages are built with is locked too.
BUILD  := --build-constraint requirements-build.lock
LLAMA  := $(shell sed -n 's/^llama-cpp-python==\([0-9.]*\).*/\1/p' requirements.lock)
# ggml's flash attention goes number by number through heads of less than 128 where the compiler may use AVX512-FP16:
# a reply at 1,000 tokens is made half as fast. pip takes a cached wheel whatever the flags: so this one is kept apart.
FP16    = $(findstring __AVX512FP16__,$(shell c++ -march=native -dM -E -x c++ /dev/null 2>/dev/null))
FLAGS   = $(if $(FP16),CFLAGS="$(CFLAGS) -mno-avx512fp16" CXXFLAGS="$(CXXFLAGS) -mno-avx512fp16" \
            PIP_CACHE_DIR="$${XDG_CACHE_HOME:-$$HOME/.cache}/glasshead/pip")

export PIP_DISABLE_PIP_VERSION_CHECK = 1
# Programs start faster where their compiled code is kept, and tests start many.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help run test check lint soak bench model browser lock clean
.DEFAULT_GOAL := help

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: $(VENV)/.installed  ## install what is missing, fetch the model, start: Discord with DISCORD_TOKEN, else the terminal
	@$(BIN)/glasshead run $(ARGS)

# Types are checked beside the first tests: neither keeps two cores busy alone.
test: $(VENV)/.installed-dev model browser lint  ## lint, types, import directions, tests
	@$(BIN)/mypy > $(VENV)/types.log 2>&1 & types=$$!; \
	  $(BIN)/python -m pytest -m "not soak" -n 2 --dist worksteal $(ARGS); tests=$$?; \
	  wait $$types; types=$$?; cat $(VENV)/types.log; [ $$tests = 0 ] && [ $$types = 0 ]

check: lint  ## lint, types, import directions
	$(BIN)/mypy

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

soak: $(VENV)/.installed-dev model  ## the long tests: kills, load, an hour of traffic compressed
	$(BIN)/python -m pytest -m soak $(ARGS)

bench: $(VENV)/.installed-bench model  ## measure against peers, side by side, into benchmarks/results/
	$(BIN)/python -m benchmarks $(ARGS)

model: $(VENV)/.installed  ## fetch the default model
	@$(BIN)/glasshead model pull --config config.example.toml smollm2-135m-instruct

# Its own Chromium is what Playwright fetches where nothing else is allowed to install one.
browser: $(VENV)/.installed-dev  ## Chromium, for the tests of the pages, where none is installed
	@$(BIN)/python tests/browser.py || { echo "Installing Chromium, for the tests of the pages."; \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; \
	  then apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium >/dev/null; \
	  else $(BIN)/python -m playwright install chromium; fi; } || \
	  { echo "glasshead: the pages are tested in Chromium: install it (Debian: apt install chromium)" >&2; exit 2; }

lock:  ## resolve the locked versions anew
	uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --custom-compile-command "make lock" --quiet -o requirements.lock
	uv pip compile pyproject.toml --group dev --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --custom-compile-command "make lock" --quiet -c requirements.lock -o requirements-dev.lock
	printf '%s\n' 'setuptools>=77' 'scikit-build-core>=0.9.2' cmake ninja | uv pip compile - --universal \
	  --python-version 3.11 --no-emit-index-url --custom-compile-command "make lock" --quiet -o requirements-build.lock

clean:  ## remove the environment; the log and the models stay
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  { echo "glasshead: $(PYTHON) is missing or older than 3.11: install Python 3.11+ or name one with PYTHON=..." >&2; exit 2; }
	@$(PYTHON) -m venv $(VENV) || \
	  { echo "glasshead: no venv module for $(PYTHON): install it (Debian: apt install python3-venv)" >&2; rm -rf $(VENV); exit 2; }

# A stamp, because an environment that was begun has its Python long before it has this pip.
$(VENV)/.pip: $(BIN)/python
	@$(BIN)/python -m pip show --quiet pip >/dev/null 2>&1 || $(BIN)/python -m ensurepip --default-pip >/dev/null
	@$(BIN)/python -m pip install --quiet --upgrade "pip>=25.3"
	@touch $@

# The compiler is asked for its version: on macOS there is a c++ that only says how to install one.
$(VENV)/.llama: $(VENV)/.pip
	@$(BIN)/python -m pip --no-input show --quiet llama-cpp-python 2>/dev/null || c++ --version >/dev/null 2>&1 || g++ --version >/dev/null 2>&1 || clang++ --version >/dev/null 2>&1 || \
	  { echo "glasshead: no C++ compiler: install one (Debian: apt install g++), or WHEELS=cpu for a prebuilt llama.cpp" >&2; exit 2; }
	@echo "Installing. The first time, llama.cpp is compiled for this machine: 5 to 8 minutes on two cores."
	@sed -n '/^llama-cpp-python==/,/^    # via/p' requirements.lock > $(VENV)/llama.lock
	@$(FLAGS) $(BIN)/python -m pip install --quiet --no-deps --require-hashes $(BUILD) -r $(VENV)/llama.lock
	@touch $@

# A wheel takes the place of what is there, and stays until another is asked for.
$(VENV)/.llama-%: $(VENV)/.pip requirements.lock
	$(BIN)/python -m pip install --force-reinstall --no-deps --only-binary llama-cpp-python "llama-cpp-python==$(LLAMA)" \
	  --extra-index-url "https://abetlen.github.io/llama-cpp-python/whl/$*"
	@rm -f $(VENV)/.llama-*
	@touch $(VENV)/.llama $@

$(VENV)/.installed: $(VENV)/.llama$(WHEELS:%=-%) requirements.lock pyproject.toml
	@$(BIN)/python -m pip install --quiet --require-hashes $(BUILD) -r requirements.lock
	@$(BIN)/python -m pip install -qq --no-deps $(BUILD) -e .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed requirements-dev.lock
	@$(BIN)/python -m pip install --quiet --require-hashes -r requirements-dev.lock
	@touch $@

$(VENV)/.installed-bench: $(VENV)/.installed-dev
	@$(BIN)/python -m pip install --quiet --group bench
	@touch $@
