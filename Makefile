# Greenroom's commands. `make` alone lists them; each target's sentence is the text after ##.
SHELL := /bin/bash
.DEFAULT_GOAL := help
VENV := .venv/bin
LOCK := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate

.PHONY: help demo livekit test check unit bench format lock clean dev packages

help: ## List these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: ## Run one whole show on this machine and watch it in a browser (Ctrl-C ends it; LIVEKIT=real takes the real LiveKit)
	$(if $(filter-out standin real,$(LIVEKIT)),$(error LIVEKIT is `real` or `standin`, which it is when it is left out; not `$(LIVEKIT)`))
	@deploy/setup/environment demo
	@$(if $(LIVEKIT),GREENROOM_DEMO_LIVEKIT=$(LIVEKIT)) $(VENV)/greenroom demo

livekit: ## Run LiveKit's real server, ingress and an egress worker on this machine (Ctrl-C ends it)
	@deploy/livekit/run

test: packages dev ## Run everything that says Greenroom can be trusted (under 50 minutes; only=NAME runs one stage)
	@$(VENV)/python -m deploy.setup.stages $(only)

check: dev ## Check format, lint, types and import rules (seconds)
	@$(VENV)/python -m deploy.setup.stages check

unit: dev ## Run the tests that touch nothing outside their process (seconds)
	@$(VENV)/python -m deploy.setup.stages unit

bench: dev ## Measure the speeds in the README, each against a floor of the same run (only=NAME: one row)
	@$(VENV)/python -m tests.bench $(only)

format: dev ## Format the code and mend what lint can mend
	@$(VENV)/ruff format
	@$(VENV)/ruff check --fix

lock: dev ## Write the locks anew from pyproject.toml and package.json
	@$(VENV)/$(LOCK) --group setup --output-file deploy/requirements/setup.txt
	@$(VENV)/$(LOCK) --group go --output-file deploy/requirements/go.txt
	@$(VENV)/$(LOCK) pyproject.toml --extra demo --group setup --output-file deploy/requirements/demo.txt
	@$(VENV)/$(LOCK) pyproject.toml --extra dev --group setup --no-emit-package greenroom --output-file deploy/requirements/dev.txt
	@npm install --package-lock-only --silent

clean: ## Remove what set-up, tests and the demo made here
	@rm -rf .venv node_modules .make .greenroom build dist *.egg-info \
	  .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

dev:
	@deploy/setup/environment dev

packages:
	@deploy/setup/debian
