# Everything a checkout needs, set-up included: `make test` or `make demo` on a fresh Debian 12
# machine installs what is missing, builds and runs.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.NOTPARALLEL:
MAKEFLAGS += --no-print-directory

PREFIX ?= /usr/local
KILLS ?= 1000
JOBS := $(shell nproc)
export CMAKE_BUILD_PARALLEL_LEVEL := $(JOBS)
PYTHON := .venv/bin/python
# Debian's Python only where none on PATH will do; asked once, before there is a .venv.
PACKAGES = g++ cmake ninja-build ccache libhwy-dev libzstd-dev libxxhash-dev nlohmann-json3-dev \
  libcli11-dev libfmt-dev libspdlog-dev libexpected-dev libgtest-dev libgmock-dev \
  libbenchmark-dev librapidcheck-dev $(if $(wildcard .venv/ready.stamp),,$(shell \
    scripts/find-python.sh >/dev/null || echo python3-venv python3-dev))

CXX_SOURCES = $(shell git ls-files --cached --others --exclude-standard -- '*.h' '*.cc')
PYTHON_PACKAGE_SOURCES := $(shell find src include python cli cmake CMakeLists.txt pyproject.toml \
  -type f ! -name '*.pyc' 2>/dev/null)

.PHONY: help build test demo trace bench bench-rivals bench-stall bench-restore bench-device quality
.PHONY: soak fuzz
.PHONY: format format-check install clean
.PHONY: setup check-includes test-release test-asan test-tsan test-python

help:  ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' \
	  | expand -t 22

build: build-release  ## The command and the library: build/release/bitsnap

setup:
	@scripts/setup-debian.sh $(PACKAGES)

build-%: setup
	@cmake --preset $* --log-level=WARNING
	@cmake --build --preset $*

# Sanitizers last but one: when something is broken, the quick tests say so first.
test: check-includes test-release test-asan test-python  ## Every test; what CI runs

check-includes: .venv/ready.stamp
	@$(PYTHON) scripts/check_includes.py

test-release: build-release
	@ctest --preset release --parallel $(JOBS)

test-asan: build-asan
	@ctest --preset asan --parallel $(JOBS)

# Those that have threads. Not part of `test`: building alone takes a minute and a half.
TSAN_TESTS := base_test pipeline_test store_test engine_test agent_test
test-tsan: setup  ## Tests with threads under the thread sanitizer
	@cmake --preset tsan --log-level=WARNING
	@cmake --build --preset tsan --target $(TSAN_TESTS)
	@for test in $(TSAN_TESTS); do build/tsan/$$test --gtest_brief=1; done

test-python: build-release .venv/bitsnap.stamp
	@scripts/setup-debian.sh iproute2  # some tests make a network
	@$(PYTHON) -m pytest tests
	@$(PYTHON) -m pytest tests/python/test_torch_{extra,masters,models,optimizers,store}.py --ambient

demo: .venv/bitsnap.stamp  ## Train, kill, resume and compare, with plots
	@$(PYTHON) examples/demo.py

trace: .venv/ready.stamp  ## A real run's checkpoints in runs/trace, to measure on
	@OMP_WAIT_POLICY=PASSIVE $(PYTHON) examples/trace.py

bench: build-release  ## Kernels and end to end, against memcpy
	@scripts/bench.sh

bench-rivals: build-release .venv/rivals.stamp trace  ## All codecs and their rivals on the trace
	@$(PYTHON) bench/bound.py
	@$(PYTHON) bench/rivals/run.py ratios
	@$(PYTHON) bench/rivals/run.py speeds
	@$(PYTHON) bench/rivals/report.py

bench-stall: .venv/bitsnap.stamp  ## What saving costs a training run, against torch.save and DCP
	@OMP_WAIT_POLICY=PASSIVE $(PYTHON) bench/stall/run.py --repeat 3
	@$(PYTHON) bench/stall/stall_report.py

bench-restore: .venv/bitsnap.stamp  ## How fast a state comes back, from disk and from memory
	@OMP_WAIT_POLICY=PASSIVE $(PYTHON) bench/restore.py

bench-device: .venv/bitsnap.stamp  ## What saving a state that lies on a GPU costs
	@$(PYTHON) bench/device.py /dev/shm/bitsnap-bench

quality: .venv/bitsnap.stamp  ## Do lossy profiles hurt? Train, restore, go on, compare
	@OMP_WAIT_POLICY=PASSIVE $(PYTHON) bench/quality/quality.py --csv bench/results/quality.csv
	@$(PYTHON) bench/quality/quality_report.py

soak: build-release .venv/bitsnap.stamp  ## Crash storm: power cuts, and KILLS (1000) of who saves
	@BITSNAP_STORM_ROUNDS=20000 build/release/store_test --gtest_filter='*PowerCutStorm*' --gtest_brief=1
	@$(PYTHON) scripts/soak --kills $(KILLS)

fuzz:  ## Every fuzzer for a minute
	@scripts/setup-debian.sh $(PACKAGES) clang-14 libclang-rt-14-dev
	@scripts/fuzz.sh

format:  ## Format all C++ in place
	@scripts/setup-debian.sh clang-format-14
	@clang-format-14 -i $(CXX_SOURCES)

format-check:  ## Fail where `make format` would change something
	@scripts/setup-debian.sh clang-format-14
	@clang-format-14 --dry-run --Werror $(CXX_SOURCES)

install: build-release  ## Into PREFIX (default /usr/local)
	@cmake --install build/release --prefix $(PREFIX)

clean:  ## Remove all that was built; .venv stays
	@rm -rf build

.venv/ready.stamp: requirements-dev.txt scripts/setup-venv.sh | setup
	@scripts/setup-venv.sh
	@touch $@

.venv/rivals.stamp: .venv/ready.stamp requirements-rivals.txt
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check -r requirements-rivals.txt
	@touch $@

# Reinstalled when any of its sources changed.
.venv/bitsnap.stamp: .venv/ready.stamp $(PYTHON_PACKAGE_SOURCES)
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check --no-build-isolation .
	@touch $@
