# The two commands that do everything on a fresh machine: make up, make test.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PACKAGES := busybox-static bc curl procps iproute2 nftables docker-registry skopeo etcd-server

.DEFAULT_GOAL := help
.PHONY: help up down test check lint types layers packages clean

help: ## Show what can be made.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.make/installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable .
	$(BIN)/python -m compileall -q tiphys
	@mkdir -p .make && touch $@

.make/dev: .make/installed
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@

up: .make/installed ## Install, start a cluster and a demo application on it, print where it answers.
	@$(BIN)/tiphys up
	@$(BIN)/tiphys apply -f examples/demo.yaml
	@$(BIN)/python examples/demo.py

down: .make/installed ## Remove the cluster and all that it left on this machine.
	@$(BIN)/tiphys down --purge

packages: ## Install the Debian packages that the tests drive the product with.
	@tools/install_test_packages.sh $(PACKAGES)

lint: .make/dev ## Style: ruff.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .make/dev ## Types: mypy, strict.
	$(BIN)/mypy

layers: .make/dev ## Layers: who may import whom.
	$(BIN)/lint-imports

check: lint types layers ## Lint, types and layers.

test: .make/dev packages check ## Everything: checks, then all tests. Needs root for the tests with real containers.
	$(BIN)/python -m pytest -n 2 --dist loadgroup

clean: ## Remove what was installed here.
	rm -rf $(VENV) .make
