# Every target makes the virtual environment that it needs. Needed before: Python 3.11 or newer with
# its venv module and headers, a C compiler, GNU make.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --quiet --disable-pip-version-check
PYTEST := $(BIN)/python -m pytest -q

SOURCES := setup.py pyproject.toml \
           $(wildcard mlpcore/*.pyx mlpcore/*.pxd mlpcore/binding/*) \
           $(wildcard src_c/*.[ch] src_c/kernels/*.[ch])
C_FILES  = $(shell find benchmarks mlpcore/binding src_c tests tools -name '*.[ch]')

.PHONY: help demo test windows soak lint bench sanitize ulp fuzz docs wheel clean
.DELETE_ON_ERROR:

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' Makefile | expand -t 12

demo: $(VENV)/demo.stamp $(VENV)/mlpcore.stamp ## train three nets on real data and show what they computed
	$(BIN)/python -m mlpcore demo

# What asserts a duration runs first and alone; the summary of everything else comes last.
test: $(VENV)/test.stamp $(VENV)/mlpcore.stamp ## run the test suite
	$(PYTEST) -m timing
	$(PYTEST) -m "not timing" -n 2

# `make test` runs these too, but skips them where a tool is missing.
windows: $(VENV)/test.stamp $(VENV)/mlpcore.stamp ## run the C core as Windows programs, and compare the bits with this system's
	cd tests && $(abspath $(BIN))/python -c 'import windows; windows.MISSING and exit(windows.REASON)'
	$(PYTEST) -k windows tests/core/test_c_programs.py tests/kernels/test_contract_elsewhere.py

# One after the other: some of them assert how soon Ctrl-C is heard.
soak: $(VENV)/test.stamp $(VENV)/mlpcore.stamp ## kill and interrupt training thousands of times, for half an hour
	$(PYTEST) -m soak

# Without -O, the intrinsics of gcc are macros that convert signs.
lint: $(VENV)/lint.stamp ## check style, types and spelling
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/clang-format --dry-run -Werror $(C_FILES)
	$(CC) -std=c11 -Wall -Wextra -Wconversion -Wshadow -Werror -fsyntax-only -O1 $(filter %.c,$(SOURCES))
	PATH="$(abspath $(BIN)):$$PATH" cython-lint mlpcore
	$(BIN)/codespell

bench: $(VENV)/bench.stamp $(VENV)/mlpcore.stamp ## measure the speed, beside the peers that are installed
	$(BIN)/python -m benchmarks

# The interpreter is not built with the sanitizers, so their libraries have to be there before it
# (gcc's recipe). It never frees everything, so leaks are not reported. What the sanitizers say
# goes to file descriptor 2, past pytest's capture. Left out is what tests no code of this build,
# limits of memory, which ASan's own exceeds, and a fork beside a thread that allocates, which gcc
# 12's does not survive. What takes ten seconds may take ten times as long. PYTHONSAFEPATH: programs
# that the tests start find this build too, rather than the package in the folder they stand in.
SANITIZE := build/sanitize
sanitize: $(VENV)/test.stamp $(VENV)/build.stamp ## run the test suite under ASan and UBSan
	MLPCORE_SANITIZE=1 $(BIN)/python setup.py --quiet build --build-lib $(SANITIZE)
	PYTHONPATH=$(CURDIR)/$(SANITIZE):$(CURDIR) PYTHONSAFEPATH=1 PYTHONMALLOC=malloc \
	ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1:handle_segv=0 \
	UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 \
	LD_PRELOAD="$$(gcc -print-file-name=libasan.so) $$(gcc -print-file-name=libubsan.so)" \
	$(BIN)/python -m pytest -q --capture=sys -m "not timing" -n 2 --timeout 900 \
	    --ignore tests/packaging --ignore tests/core/test_c_programs.py \
	    --ignore tests/faults/test_memory.py \
	    --deselect tests/estimators/test_sparse.py::test_memory_is_that_of_two_blocks \
	    --deselect tests/derivatives/test_query_memory.py::test_input_hessian_needs_what_its_documentation_says \
	    --deselect tests/faults/test_company.py::TestFork::test_while_another_thread_fits \
	    --ignore tests/core/test_instruction_counts.py \
	    --ignore tests/kernels/test_contract_elsewhere.py

# All float32 take some six minutes; STRIDE=1009, a prime, takes every 1009th. Then float64 by
# samples, and what NumPy's own float32 functions do.
STRIDE := 1
ulp: $(VENV)/bench.stamp ## measure the error of every vector function, over all float32
	@mkdir -p build
	$(CC) -std=c11 -O3 -ffp-contract=off tools/ulp.c -lm -o build/ulp
	build/ulp 32 $(STRIDE)
	build/ulp 64 509
	$(BIN)/python tools/ulp_numpy.py $$((11 * $(STRIDE)))

# What it finds stays in build/corpus, for the next time.
fuzz: $(VENV)/fuzz.stamp $(VENV)/mlpcore.stamp ## throw broken files at the reader of models for ten minutes
	mkdir -p build/corpus
	cp tests/files/golden/* build/corpus
	$(BIN)/python tests/files/fuzz_safetensors.py -max_len=4096 -timeout=1 -rss_limit_mb=512 \
	    -max_total_time=600 build/corpus

# -W: a warning is an error. -n: so is a reference to something that is not there.
docs: $(VENV)/docs.stamp $(VENV)/mlpcore.stamp ## write the pages of docs/ and the reference to build/docs
	$(BIN)/python -m sphinx -W -n --keep-going -q -d build/doctrees docs build/docs
	@echo "build/docs/index.html"

# The date of the last commit, where there is one: the same commit gives the same bytes. The checks
# of the configuration are those that its own tools have; the wheels of other systems are built by
# .github/workflows/wheels.yml.
wheel: export SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null || date +%s)
wheel: $(VENV)/test.stamp $(VENV)/wheel.stamp $(VENV)/mlpcore.stamp ## build and check dist/*.tar.gz, and from it dist/*.whl
	rm -rf dist build/raw
	umask 022; $(BIN)/python -m build --outdir build/raw
	umask 022; PATH="$(abspath $(BIN)):$$PATH" auditwheel repair --strip --wheel-dir dist build/raw/*.whl
	cp build/raw/*.tar.gz dist
	$(BIN)/auditwheel show dist/*.whl
	$(BIN)/abi3audit --strict dist/*.whl
	$(BIN)/twine check --strict dist/*
	$(BIN)/validate-pyproject pyproject.toml
	for platform in linux macos windows; do \
	    $(BIN)/python -m cibuildwheel --print-build-identifiers --platform $$platform . || exit 1; \
	done
	$(PYTEST) -m "soak or not timing" tests/packaging
	wc -c dist/*

clean: ## remove everything that was made
	rm -rf $(VENV) build dist docs/generated *.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache
	rm -f mlpcore/_core.c mlpcore/_core.*.so
	find . -name __pycache__ -type d -exec rm -rf {} +

$(VENV)/venv.stamp:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "mlpcore needs Python 3.11 or newer: make PYTHON=...")'
	$(PYTHON) -m venv --clear $(VENV)
	@touch $@

# One stamp for each extra of pyproject.toml. They are read from there because pip takes an extra only
# together with the project, which cannot be built before the extra named `build` is installed.
REQUIREMENTS = import sys, tomllib; \
    extras = tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"]; \
    print(*extras[sys.argv[1]], sep="\n")
$(VENV)/%.stamp: pyproject.toml $(VENV)/venv.stamp
	@$(BIN)/python -c '$(REQUIREMENTS)' $* >$(VENV)/$*.txt
	$(PIP) install -r $(VENV)/$*.txt
	@touch $@

# Compiles what changed since the last time.
$(VENV)/mlpcore.stamp: $(SOURCES) $(VENV)/build.stamp
	@echo "compiling mlpcore: about a minute the first time"
	$(PIP) install --no-build-isolation --no-deps -e .
	@touch $@
