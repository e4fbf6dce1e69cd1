# Two commands for newcomers: `make demo` and `make test`. `make help` lists the rest.
.DEFAULT_GOAL := help
SHELL := /bin/bash

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv
PROTO_BIN := .venv-proto/bin
BUF := build/node/node_modules/.bin/buf
PROTOS := $(sort $(shell find protos -name '*.proto'))

.PHONY: help
help: ## Lists the commands.
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 24

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "AIFT needs Python 3.11 or newer; name one with: make PYTHON=python3.12 …"; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(UV): | $(BIN)/python
	$(BIN)/python -m pip install --quiet --constraint constraints.txt uv

# What runs AIFT: SDK, services, trainer, page, embedded supervisor.
$(VENV)/.installed: pyproject.toml constraints.txt | $(UV)
	$(UV) pip install --quiet --compile-bytecode --python $(BIN)/python --constraint constraints.txt --editable '.[all]'
	@touch $@

# What tests and checks it.
$(VENV)/.installed-dev: $(VENV)/.installed
	$(UV) pip install --quiet --compile-bytecode --python $(BIN)/python --constraint constraints.txt --editable '.[all,deepspeed,dev]'
	@touch $@

.PHONY: setup
setup: $(VENV)/.installed ## Makes the virtual environment and installs the pinned packages.

.PHONY: demo
demo: setup ## Runs the main job once: upload, fine-tune, register, generate.
	$(BIN)/python samples/demo.py

.PHONY: up
up: setup ## Keeps AIFT running, with the page at http://127.0.0.1:8050; Ctrl-C stops it.
	$(BIN)/aift up

.PHONY: test
test: $(VENV)/.installed-dev ## Sets up and passes the tests.
	$(BIN)/python -m pytest --numprocesses 3 --dist loadgroup

# Contracts. Stubs come from the oldest supported generator, so that older protobuf runtimes load them.
$(PROTO_BIN)/python: | $(UV)
	$(UV) venv --quiet --python $(BIN)/python .venv-proto
	$(UV) pip install --quiet --python $@ 'grpcio-tools==1.72.2' 'mypy-protobuf==3.6.0' 'setuptools<81'

.PHONY: proto
proto: $(PROTO_BIN)/python ## Generates the stubs in sdk/aift from protos/.
	PATH="$(CURDIR)/$(PROTO_BIN):$$PATH" $(PROTO_BIN)/python -m grpc_tools.protoc --proto_path=protos \
	  --python_out=sdk --grpc_python_out=sdk --mypy_out=quiet:sdk --mypy_grpc_out=quiet:sdk $(PROTOS)
	@find sdk/aift -type d -path '*/v1' -exec touch {}/__init__.py \; -exec touch {}/../__init__.py \;
	@find sdk/aift -name '*_pb2_grpc.py*' -path '*common*' -delete

$(BUF):
	npm install --silent --no-save --prefix build/node @bufbuild/buf@1.75.0

.PHONY: proto-check
proto-check: $(BUF) proto ## Lints the contracts, checks them against the last release, and that the stubs are theirs.
	$(BUF) lint
	$(BUF) breaking --against protos/released.binpb
	@git diff --exit-code --stat -- sdk/aift || { echo "The stubs differ from protos/: commit what 'make proto' wrote."; exit 1; }

.PHONY: release
release: $(BUF) ## Takes today's contracts as the released ones, which later versions must not break.
	$(BUF) build -o protos/released.binpb

.PHONY: lint
lint: $(VENV)/.installed-dev ## Checks style, types and the walls between the rooms.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Documents generated from contracts and settings.
.PHONY: docs
docs: setup $(BUF) ## Writes docs/API_REFERENCE.md and docs/CONFIG_REFERENCE.md.
	$(BIN)/python -m services.core.settings_reference > docs/CONFIG_REFERENCE.md
	$(BUF) build -o build/image.binpb
	$(BIN)/python docs/api_reference.py build/image.binpb > docs/API_REFERENCE.md

.PHONY: docs-check
docs-check: docs
	@git diff --exit-code --stat -- docs || { echo "Documents differ from their sources: commit what 'make docs' wrote."; exit 1; }
