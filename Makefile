# Every target sets up .venv by itself; `make help` lists them.

.DEFAULT_GOAL := help
.PHONY: help demo test slow frameworks lint faults bench flink clean

BIN := .venv/bin
STAMP := .venv/.installed
# Present while packages are being installed: a .venv that still has it was interrupted and is made anew.
BUSY := .venv/.installing
# Present once what only the benchmarks need is there too.
BENCH_STAMP := .venv/.installed-bench
# Likewise what the tests of nets from other frameworks need.
FRAMEWORKS_STAMP := .venv/.installed-frameworks
SOURCES := pipeline models tfds_builders
# A worker that dies ends the tests: what it had left would otherwise be waited for.
PYTEST = TF_CPP_MIN_LOG_LEVEL=2 $(BIN)/python -m pytest -n 2 --max-worker-restart=0 --dist loadfile --no-loadscope-reorder

SUPPORTED := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
PYTHONS := python3.13 python3.12 python3.11 python3 python

# Installs the project with one of its extras.
install = if command -v uv >/dev/null 2>&1; then uv pip install --python $(BIN)/python -e '.[$(1)]'; \
	else $(BIN)/python -m pip install -e '.[$(1)]'; fi

help:  ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

demo: $(STAMP)  ## Make all three datasets of the built-in handwritten digits, into runs/
	$(BIN)/peerpressure run --config configs/digits.toml --workdir runs
	$(BIN)/peerpressure run --config configs/digits_pairs.toml --workdir runs
	$(BIN)/peerpressure run --config configs/digits_garbage.toml --workdir runs

# By file, for the tests of a file share what they are made on; in the order of names, for the files with the fewest tests
# take the longest, and would come last.
test: lint  ## Lint, type-check, then run the tests but for the slow ones
	$(PYTEST) -m "not slow" tests

# In three goes: what XLA compiles stays mapped as long as a process lives, and Linux allows it 65,530 mappings.
slow: $(STAMP)  ## Run the tests that take five seconds or more each
	$(PYTEST) -m slow --ignore-glob='tests/pipeline/r*' tests
	$(PYTEST) -m slow $(filter-out tests/pipeline/reproduce,$(wildcard tests/pipeline/r*))
	$(PYTEST) -m slow tests/pipeline/reproduce

frameworks: $(FRAMEWORKS_STAMP)  ## Test nets from JAX (installs it into .venv, where every process is slower for it)
	TF_CPP_MIN_LOG_LEVEL=2 $(BIN)/python -m pytest tests/models/other_frameworks_test.py

lint: $(STAMP)  ## Check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy $(SOURCES)

faults: $(STAMP)  ## Put faults into the code, one at a time, and see that the tests notice each
	TF_CPP_MIN_LOG_LEVEL=2 $(BIN)/python -m tests.faults

bench: $(BENCH_STAMP)  ## Measure searches, attacks, training, checks and nights against their limits and peers (needs MNIST prepared)
	TF_CPP_MIN_LOG_LEVEL=2 $(BIN)/python -m benchmarks.search
	TF_CPP_MIN_LOG_LEVEL=2 $(BIN)/python -m benchmarks.attack
	TF_CPP_MIN_LOG_LEVEL=2 $(BIN)/python -m benchmarks.foolbox_attack
	TF_CPP_MIN_LOG_LEVEL=2 $(BIN)/python -m benchmarks.garbage
	TF_CPP_MIN_LOG_LEVEL=2 $(BIN)/python -m benchmarks.nets
	TF_CPP_MIN_LOG_LEVEL=2 $(BIN)/python -m benchmarks.nights
	TF_CPP_MIN_LOG_LEVEL=2 $(BIN)/python -m benchmarks.memory

flink: .flink/.fetched  ## Run the demo on a Flink cluster, kill a part of it, compare (needs Java and Maven)
	$(BIN)/python deploy/flink/demo.py

.flink/.fetched: deploy/flink/fetch deploy/flink/pom.xml | $(STAMP)
	deploy/flink/fetch $(BIN)/python

clean:  ## Remove .venv, .flink, runs and caches
	rm -rf .venv .flink runs build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(STAMP): setup.py pyproject.toml
	@python=; \
	for candidate in $(PYTHONS); do \
	  if "$$candidate" -c '$(SUPPORTED)' >/dev/null 2>&1; then python=$$candidate; break; fi; \
	done; \
	if [ -z "$$python" ]; then \
	  echo "Peer Pressure needs Python 3.11, 3.12 or 3.13, and none of these runs as one: $(PYTHONS)." >&2; exit 1; \
	fi; \
	if [ -e $(BUSY) ] || ! $(BIN)/python -c '$(SUPPORTED)' >/dev/null 2>&1; then rm -rf .venv; fi; \
	set -ex; \
	mkdir -p .venv; touch $(BUSY); \
	if command -v uv >/dev/null 2>&1; then \
	  [ -e $(BIN)/python ] || uv venv --allow-existing --python "$$(command -v "$$python")" .venv; \
	else \
	  [ -e $(BIN)/python ] || "$$python" -m venv .venv; \
	  $(BIN)/python -m pip --version || $(BIN)/python -m ensurepip; \
	fi; \
	$(call install,dev); \
	rm $(BUSY); touch $@

$(BENCH_STAMP) $(FRAMEWORKS_STAMP): .venv/.installed-%: $(STAMP)
	@set -ex; \
	mv $(STAMP) $(BUSY); \
	$(call install,$*); \
	mv $(BUSY) $(STAMP); touch $(STAMP) $@
