# `make` alone lists what there is. ARGS goes to the program: make run ARGS="--gateway-port 7360".
.DEFAULT_GOAL := help
.PHONY: help run test evening sim sim-planted faults attacks fuzz lint catalogue golden bench load lock
ARGS ?=
SEEDS ?= 100
SECONDS ?= 600
SCENARIO ?= evening
NODES ?= 1
PIP := .venv/bin/python -m pip install -q --disable-pip-version-check --no-input --no-deps --require-hashes
UV := uv==0.13.9
COMPILE := .venv/bin/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	--no-emit-index-url --no-emit-find-links --upgrade

run: .venv/run.stamp ## start a node in development mode on this machine
	@exec .venv/bin/python -m server serve --dev $(ARGS)

test: .venv/dev.stamp ## run all tests; one: make test ARGS="tests/rooms -k kick"
	@.venv/bin/python -m pytest -q $(if $(ARGS),$(ARGS),-n 2 --dist loadfile --no-loadscope-reorder)

evening: .venv/dev.stamp ## 1,000 players, 10,000 notices, a period that ends, a killed node; three minutes
	@TEST_SESSIONS=1000 .venv/bin/python -m pytest -q tests/e2e/test_evening.py $(ARGS)

sim: .venv/dev.stamp ## whole clusters in virtual time under faults: make sim SEEDS=1000; one again: make sim SEED=42
	@.venv/bin/python -m tests.simulation $(if $(SEED),$(SEED),--seeds $(SEEDS)) $(ARGS)

sim-planted: .venv/dev.stamp ## plant bugs, one at a time; each must be found within 200 seeds
	@.venv/bin/python -m pytest -q -s -m long tests/simulation $(ARGS)

faults: .venv/dev.stamp ## hurt real nodes, MariaDB and Redis under load, judge, write the table of docs/reliability.md
	@FAULTS_TABLE=1 FAULTS_PLAYERS=120 .venv/bin/python -m pytest -q -p no:randomly -m "faults or not faults" tests/faults $(ARGS)

attacks: .venv/dev.stamp ## attack a node with hundreds of sockets while others play; write the table of docs/THREAT_MODEL.md
	@.venv/bin/python -m tests.attacks

fuzz: .venv/dev.stamp ## hostile bytes and messages for ten minutes: make fuzz SECONDS=60; the same again: make fuzz SEED=42
	@.venv/bin/python -m tests.fuzz --seconds $(SECONDS) $(if $(SEED),--seed $(SEED)) $(ARGS)

lint: .venv/dev.stamp ## style, types, imports between layers, spelling
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports
	.venv/bin/codespell

catalogue: .venv/run.stamp ## write protocol/catalogue.json and the lists made of it
	@.venv/bin/python -m server.catalogue_cli

golden: .venv/dev.stamp ## write what this release stores to tests/golden, for later ones to be tested against
	@.venv/bin/python -m tests.upgrade.golden

bench: .venv/run.stamp ## measure this machine
	@.venv/bin/python -m tests.support.with_servers --durable .venv/bin/python -m loadtest.bench $(ARGS)

load: .venv/dev.stamp ## simulated players against a server of its own: make load SCENARIO=deploy NODES=2 ARGS="--players 500"
ifeq ($(NODES),1)
	@.venv/bin/python -m loadtest run $(SCENARIO) --serve 1 --report bench-results/load.html $(ARGS)
else
	@.venv/bin/python -m tests.support.with_servers --durable sh -c '.venv/bin/python -m loadtest run $(SCENARIO) \
		--serve $(NODES) --store "$$TEST_MYSQL_URL/guildhall_load" --bus "$$TEST_REDIS_URL" --report bench-results/load.html $(ARGS)'
endif

lock: .venv/dev.stamp ## choose newer versions within pyproject.toml's bounds
	.venv/bin/python -m pip install -q --disable-pip-version-check $(UV)
	$(COMPILE) pyproject.toml -o deploy/requirements.txt
	$(COMPILE) pyproject.toml --extra loadtest --group dev -c deploy/requirements.txt -o .ci/requirements.txt

help:
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' Makefile

# What is installed, exactly as locked. A stamp is newer than its lock when nothing has changed.
.venv/bin/python:
	@.ci/venv

.venv/run.stamp: deploy/requirements.txt | .venv/bin/python
	@echo "installing what is in deploy/requirements.txt"
	@$(PIP) -r $<
	@touch $@

.venv/dev.stamp: .ci/requirements.txt | .venv/bin/python
	@echo "installing what is in .ci/requirements.txt"
	@$(PIP) -r $<
	@touch $@
