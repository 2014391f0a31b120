# Two commands do everything on a fresh machine with git, make and Python >= 3.11:
#   make demo   set up, build training sets from generated photos, train a small model on them
#   make test   set up, then the fast tests
# For developers: test-slow (servers, browsers, kills), torture (faults), peers (other trainers),
# bench and bench-full (speed and memory), lint, types, docs (the site), dist (wheel and sdist, checked),
# test-oldest.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := demo

OPTIONS ?=

.PHONY: demo test test-slow test-oldest torture peers bench bench-full lint types docs lock dist clean

# Without bytecode, every process would compile torch and Prefect again.
unexport PYTHONDONTWRITEBYTECODE

$(VENV)/ready: requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes --requirement requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	touch $@

demo: $(VENV)/ready
	$(BIN)/repic build --profile sample --store $(DEMO)/store
	$(BIN)/repic sql --store $(DEMO)/store \
	    "select objective, split, count(*) as examples from examples group by all order by all"
	$(BIN)/repic report dataset@latest --store $(DEMO)/store --out $(DEMO)/report.html
	$(BIN)/repic train --profile sample --store $(DEMO)/store
	$(BIN)/repic report checkpoint@latest --store $(DEMO)/store --out $(DEMO)/training.html
	$(BIN)/python -m tools.demo $(DEMO)/store
	@echo "Look at $(DEMO)/report.html and $(DEMO)/training.html;" \
	    "ask $(BIN)/repic sql --store $(DEMO)/store \"show tables\""

# Idle OpenMP threads yield their core to servers, workers and other tests.
test test-slow test-oldest torture peers: export OMP_WAIT_POLICY = PASSIVE

# Two files run at a time, those first that tests/conftest.py knows as long. One thread per model, so that two cores are not oversubscribed.
test: $(VENV)/ready
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder --durations=10

test-slow: $(VENV)/ready
	$(BIN)/pytest -m slow -n 2 --dist loadfile --no-loadscope-reorder --durations=10

# Faults put into small stores; prints what was lost. OPTIONS="--full" puts in all of them, and
# OPTIONS="--seed 7" others.
torture: $(VENV)/ready
	$(BIN)/python -m tests.torture $(OPTIONS)

# Other trainers, each installed into a virtual environment of its own. Not part of CI.
peers: $(VENV)/ready
	$(BIN)/pytest -m peers --durations=10

# Speed and memory: prints pass or miss per line of benchmarks/requirements.yaml, on a quiet machine.
# Fails only if a result is not exact. OPTIONS="publish increment" runs these.
bench: $(VENV)/ready
	$(BIN)/python benchmarks/run.py $(OPTIONS)

bench-full: $(VENV)/ready
	$(BIN)/python benchmarks/run.py --full $(OPTIONS)

lint: $(VENV)/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/ready
	$(BIN)/mypy

# The documentation as a site, in site/: every link leads somewhere, and reference comes from the code.
docs: $(VENV)/ready
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

# The lock file names no index or host, so it works with whatever index pip and uv use.
lock:
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
	    --no-emit-index-url --no-emit-find-links --no-annotate --group dev --group docs \
	    --output-file requirements.lock pyproject.toml

# Wheel and sdist in dist/, each installed alone into a new environment of every Python that is here.
dist: $(VENV)/ready
	$(BIN)/python -m tools.dist_check dist

# The fast tests with the oldest versions that pyproject.toml allows, which is a promise. Not part of CI:
# it installs a second environment of some gigabytes.
test-oldest: $(VENV)/ready
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python build/oldest
	$(BIN)/uv pip install --quiet --python build/oldest/bin/python --resolution lowest-direct \
	    --group dev --group docs --editable .
	OMP_NUM_THREADS=1 build/oldest/bin/pytest -n 2 --dist loadfile --no-loadscope-reorder $(OPTIONS)

clean:
	rm -rf $(VENV) $(DEMO) build dist site
