# linprobe. Needs python3 (3.11 or newer), a C++ compiler and make; everything else goes into .venv.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
BIN := .venv/bin
# One BLAS thread: the native core has its own threads, and two pools on one machine wait for each other.
export OPENBLAS_NUM_THREADS := 1
export OMP_NUM_THREADS := 1
# The tests start hundreds of processes: each would compile the modules of linprobe anew.
unexport PYTHONDONTWRITEBYTECODE

# Several targets compile the same kernels, and each installation by pip compiles all of them: with ccache, once.
ifneq ($(shell command -v ccache),)
export CMAKE_CXX_COMPILER_LAUNCHER ?= ccache
endif

# What an installed copy is made from. The installation is an editable one: Python files are used where they are.
BUILT_FROM := pyproject.toml CMakeLists.txt $(wildcard src/linprobe/native/*)

# Set to suit another machine, these two would make NumPy slower than it is.
BENCHMARK := env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE $(BIN)/python -m benchmarks

.PHONY: help demo test lint format typecheck pytest stub types docs
.PHONY: notebooks pictures bench web web-check clean test-slow pytest-slow sanitize clang fuzz
.PHONY: wheel cross

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: .venv/installed  ## install, train on handwritten digits, show the result and the run folder
	$(BIN)/linprobe train digits

test: lint web-check  ## everything that must hold: style, types, tests
	@$(MAKE) --no-print-directory -j2 typecheck pytest

# What cannot run here says so and counts as passed. A part that fails stops no other. `make test-slow SLOW="clang cross"`
# runs some of the parts.
SLOW := pytest-slow fuzz sanitize clang cross wheel notebooks
test-slow: .venv/tools  ## what takes longer: slow tests, sanitizers, Clang, aarch64, wheels, notebooks
	@tools/parts.sh "$(MAKE) --no-print-directory" $(SLOW)

lint: .venv/tools  ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: .venv/tools  ## let ruff rewrite what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

typecheck: .venv/tools  ## mypy, strict
	$(BIN)/mypy

pytest: .venv/tools  ## the tests alone; `make pytest ARGS="tests/losses -x"` for some of them
	$(BIN)/python -m pytest $(if $(ARGS),$(ARGS),-q -n 2 --dist worksteal)

pytest-slow: .venv/tools  ## the tests that are marked slow
	$(BIN)/python -m pytest -q -n 2 --dist worksteal -m slow

fuzz: .venv/tools  ## thousands of damaged files and messages; `make fuzz ARGS="zip --seed 1"` for some
	$(BIN)/python -m tests.fuzz $(ARGS)

sanitize: .venv/tools  ## the engine tests under GCC's address and undefined-behaviour sanitizers
	$(BIN)/python tools/variant.py sanitize tests/engines tests/algebra tests/neighbors

clang: .venv/tools  ## the core built by Clang, every warning an error, and the engine tests with it
	$(BIN)/python tools/variant.py clang tests/engines tests/algebra tests/neighbors

cross: .venv/tools  ## the kernels against plain loops, here and for aarch64 in an emulator
	tools/cross.sh $(CURDIR)/$(BIN)/python

wheel: .venv/bin/python  ## wheels for Linux into dist/, each tested where there is no compiler
	$(BIN)/python tools/wheel.py

stub: .venv/tools  ## write src/linprobe/_core.pyi from the signatures of the built core
	$(BIN)/python tools/stub.py

types: .venv/tools  ## write web/src/protocol.ts, what the page and the server of the lab send each other
	$(BIN)/python tools/page_types.py

docs: .venv/tools  ## the documentation as a site, into build/docs; a warning is an error
	$(BIN)/python -m sphinx -q -W --keep-going -b html -d build/doctrees docs build/docs
	@echo "the site: build/docs/index.html"

notebooks: .venv/tools  ## every page with code as a Jupyter notebook, into build/notebooks
	$(BIN)/python docs/make_notebooks.py

pictures: .venv/tools  ## fails if a picture of docs/ that the tests do not draw is older than its sources
	$(BIN)/python docs/check_pictures.py

bench: OPENBLAS_NUM_THREADS := $(shell nproc)
bench: OMP_NUM_THREADS := $(shell nproc)
bench: .venv/benchmarks  ## time and memory beside other tools, into docs/benchmarks.md (hours, on an idle machine)
	$(BENCHMARK).engine --out benchmarks/results/engine.json
	$(BENCHMARK).reading --out benchmarks/results/reading.json
	$(BENCHMARK).memory --out benchmarks/results/memory.json
	$(BENCHMARK).accuracy --out benchmarks/results/accuracy.json
	$(BENCHMARK).path --out benchmarks/results/path.json
	$(BENCHMARK).scale --out benchmarks/results/scale.json
	$(BENCHMARK).optimum --out benchmarks/results/optimum.json
	$(BENCHMARK).neighbors --out benchmarks/results/neighbors.json
	$(BENCHMARK).features --out benchmarks/results/features.json
	$(BENCHMARK).network digits --out benchmarks/results/network.json
	$(BENCHMARK).page

web: web/node_modules/installed  ## build the page of the lab from web/ into src/linprobe/lab/page (needs Node 20.19)
	cd web && npm run build

web-check:  ## types, format, linter and unit tests of the page of the lab; skipped without Node 20.19
	@if ! node -e 'const [a, b] = process.versions.node.split("."); process.exit(+a > 20 || (+a === 20 && +b >= 19) ? 0 : 1)' \
		2>/dev/null; then echo "web-check skipped: it needs Node 20.19 or newer"; \
	elif ! $(MAKE) --no-print-directory web/node_modules/installed; then \
		echo "web-check skipped: the packages of web/ cannot be installed (see above)"; \
	else cd web && npm run --silent check; fi

web/node_modules/installed: web/package-lock.json
	cd web && npm ci
	@touch $@

clean:  ## remove what was built; runs/ and the pixel cache stay
	rm -rf .venv build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

# Each stamp is written when its installation has ended well; the later ones hold the earlier.
.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "error: $$($(PYTHON) --version) found, Python 3.11 or newer needed; try: make PYTHON=python3.12 demo"; exit 1; }
	$(PYTHON) -m venv .venv

.venv/installed: .venv/bin/python $(BUILT_FROM)
	@echo "Installing into .venv, the C++ core included: this takes a minute or two ..."
	$(BIN)/python tools/install.py lab --built-from $(BUILT_FROM)
	@touch $@

.venv/tools: .venv/bin/python $(BUILT_FROM)
	@echo "Installing into .venv, the test tools included: this takes some minutes ..."
	$(BIN)/python tools/install.py test --built-from $(BUILT_FROM)
	@touch .venv/installed $@

.venv/benchmarks: .venv/bin/python $(BUILT_FROM)
	$(BIN)/python tools/install.py test bench --built-from $(BUILT_FROM)
	@touch .venv/installed .venv/tools $@
