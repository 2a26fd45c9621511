# One target for each task; CI calls the same ones. Every target sets up the environment it needs.

PYTHON ?= python3
HOST ?= 127.0.0.1
PORT ?= 8000
OUT ?= runs/caries-320

SERVE := .venv/serve
CHECK := .venv/check
ALL := .venv/all
PYTEST := -m pytest -n 2 --dist loadscope --no-loadscope-reorder --durations 30

.PHONY: run check style types layers test test-systems train page lock image offline-kit bench bench-floor bench-server \
	bench-peers clean help data-folders

# Serve, post the example photos to the server, keep serving.
run: $(SERVE)/.installed
	$(SERVE)/bin/python examples/post_examples.py --host $(HOST) --port $(PORT)

# Style, types, layers and the unit tests that need no TensorFlow: run before every commit.
check: style layers types
	$(CHECK)/bin/python $(PYTEST) -rfE -m "not slow and not systems" $(RECORD)

# Style of the code.
style: $(CHECK)/.installed
	$(CHECK)/bin/ruff check .
	$(CHECK)/bin/ruff format --check .

# Types of all code, tests and benchmarks included.
types: $(CHECK)/.installed
	$(CHECK)/bin/mypy

# Which package may import which.
layers: $(CHECK)/.installed
	$(CHECK)/bin/lint-imports

PASSED := .pytest_cache/passed

# What CI runs: the checks, then the tests that did not pass there, including a small training, with the coverage of both.
test: RECORD = --record-passed=$(PASSED) --cov --cov-report= --cov-fail-under=0
test: check $(ALL)/.installed
	$(ALL)/bin/python $(PYTEST) --skip-passed=$(PASSED) --cov --cov-append

# The same tests over the full matrices: every architecture from photos to a served bundle, every command of the notebook.
test-systems: $(ALL)/.installed
	$(ALL)/bin/python $(PYTEST) -m "slow or not slow"

TRAINING = $(ALL)/bin/python -m training
RELEASE := training/recipes/release
FROM_DATA = $(foreach folder,$(DATA),--data $(folder))
FOUND_TEETH = --teeth-from $(or $(TEETH_FROM),$(OUT)/teeth)

# TEETH_FROM=DETECTOR finds the teeth without a label where not every tooth has one; START_FROM=DETECTOR gives the weights to start from.
# Train the shipped detector on DATA="FOLDER [FOLDER ...]" into $(OUT)/bundle. Rerun to resume an interrupted training.
train: data-folders $(ALL)/.installed
ifndef START_FROM
	$(TRAINING) prepare $(FROM_DATA) --teeth-from leave-out --out $(OUT)/teeth
	$(TRAINING) train --recipe $(RELEASE)/teeth-320.toml --out $(OUT)/teeth
endif
	$(TRAINING) run $(FROM_DATA) $(if $(START_FROM),$(if $(TEETH_FROM),--teeth-from $(TEETH_FROM)),$(FOUND_TEETH)) \
		--recipe $(RELEASE)/caries-320.toml --start-from $(or $(START_FROM),$(OUT)/teeth) --out $(OUT)

data-folders:
	@test -n "$(strip $(DATA))" || { echo 'Name the folders of annotated photos: make $(MAKECMDGOALS) DATA="FOLDER [FOLDER ...]"' >&2; exit 2; }

VENV = @$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed, $(PYTHON) is \
	%d.%d: make $(MAKECMDGOALS) PYTHON=python3.11" % sys.version_info[:2])' && $(PYTHON) -m venv --clear
INSTALL := -m pip install --quiet --disable-pip-version-check

# The server's environment: no TensorFlow, under 400 MB.
$(SERVE)/.installed: requirements/serve.txt pyproject.toml
	$(VENV) $(SERVE)
	$(SERVE)/bin/python $(INSTALL) --require-hashes -r requirements/serve.txt
	$(SERVE)/bin/python $(INSTALL) --no-deps --editable .
	touch $@

# The server's environment with the tools that check the code.
$(CHECK)/.installed: requirements/check.txt pyproject.toml
	$(VENV) $(CHECK)
	$(CHECK)/bin/python $(INSTALL) --require-hashes -r requirements/check.txt
	$(CHECK)/bin/python $(INSTALL) --no-deps --editable .
	touch $@

# Everything. requirements/no-deps.txt says why two packages are installed without their dependencies.
$(ALL)/.installed: requirements/all.txt requirements/no-deps.txt pyproject.toml
	$(VENV) $(ALL)
	$(ALL)/bin/python $(INSTALL) --require-hashes -r requirements/all.txt
	$(ALL)/bin/python $(INSTALL) --require-hashes --no-deps --no-build-isolation -r requirements/no-deps.txt
	$(ALL)/bin/python $(INSTALL) --no-deps --no-build-isolation --editable .
	touch $@

BENCH := build/benchmarks

# Measure the floor, the server and other servers, and decoding on the first folder of DATA; write benchmarks/RESULTS.md.
bench: data-folders bench-floor bench-server bench-peers
	$(ALL)/bin/python -m benchmarks.scaled_decode --data $(firstword $(DATA)) --out $(BENCH)/scaled_decode.json
	$(ALL)/bin/python -m benchmarks.report --results $(BENCH)

# Measure one photo without a server.
bench-floor: $(ALL)/.installed
	mkdir -p $(BENCH)
	$(ALL)/bin/python -m benchmarks.floor --out $(BENCH)/floor.json

# Measure the server.
bench-server: $(ALL)/.installed
	mkdir -p $(BENCH)
	$(ALL)/bin/python -m benchmarks.server --seconds 2 --out $(BENCH)/server.json

# Measure other model servers on the same model.
bench-peers: $(ALL)/.installed
	mkdir -p $(BENCH)
	$(ALL)/bin/python -m benchmarks.peers --seconds 1.5 --out $(BENCH)/peers.json

COMPILE := $(ALL)/bin/pip-compile --quiet --upgrade --generate-hashes --strip-extras --allow-unsafe --no-emit-index-url \
	--no-emit-find-links --no-emit-trusted-host --no-header --no-annotate

# Update the lock files from pyproject.toml: versions and hashes, no index.
lock: $(ALL)/.installed
	$(COMPILE) --extra tracing --extra reviews --extra redis --output-file requirements/serve.txt pyproject.toml
	$(COMPILE) --extra tracing --extra reviews --extra redis --extra dicom --constraint requirements/serve.txt --output-file requirements/dicom.txt pyproject.toml
	$(COMPILE) --extra tracing --extra reviews --extra redis --extra dicom --extra check --constraint requirements/serve.txt --output-file requirements/check.txt pyproject.toml
	$(COMPILE) --extra tracing --extra reviews --extra redis --extra dicom --extra tensorflow --extra training --extra check --extra dev --constraint requirements/serve.txt --output-file requirements/all.txt pyproject.toml

PAGE := build/page
BUILT ?= app/page/built

# Build the page from app/page/source into app/page/built. Needs npm, which installs the Node that builds.
page: $(PAGE)/.installed
	rm -rf $(PAGE)/src $(PAGE)/public $(BUILT)
	cp -R app/page/source/. $(PAGE)
	cd $(PAGE) && npm run --silent build -- --outDir $(abspath $(BUILT)) --emptyOutDir --logLevel warn

$(PAGE)/.installed: app/page/source/package.json app/page/source/package-lock.json
	mkdir -p $(PAGE)
	cp $^ $(PAGE)
	cd $(PAGE) && npm ci --silent --no-fund --no-audit
	touch $@

BUILD_NETWORK ?= default

# Build the server's image; BUILD_NETWORK=host if builds cannot reach the network.
image:
	docker build --network=$(BUILD_NETWORK) --target cpu --build-arg REVISION=$$(git rev-parse HEAD) --tag caries-screen:cpu .

# Pack one archive for a machine without internet.
offline-kit: image
	deploy/offline-kit.sh build/offline-kit

# Remove environments, runs and caches.
clean:
	rm -rf .venv runs build *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .coverage*

# List the targets.
help:
	@awk '/^# /{text = substr($$0, 3)} /^[a-z-]+:/{if (text) {sub(":.*", ""); printf "%-14s %s\n", $$0, text}} !/^# /{text = ""}' Makefile
