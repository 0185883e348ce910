# `make help` lists what there is.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Compiled modules of packages that are never imported would take a third of the disk; Python compiles the rest at first use.
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile
# Where this is set, Python does not, and each process compiles its packages again: 5 s instead of 1.4 s for one of ours,
# 11 s instead of 4 s for one of FATE's (two cores).
unexport PYTHONDONTWRITEBYTECODE
# FATE's own environment: its pins do not go together with the kit's. FATE's packages are listed for this Python.
FATE := .fate
FATE_PYTHON ?= $(shell command -v python3.11 || echo python3)
FATE_PACKAGES := roles/image/files/requirements.txt
# Where PyTorch's build for the CPU is; empty where pip's own configuration knows of it.
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu

# Test files that run beside each other: as many as there are cores. More make real jobs of FATE crowd each other.
JOBS ?= auto

.DEFAULT_GOAL := help
.PHONY: help setup bench report messages test test-fast coverage lint types perf wire licences role-docs collection fate ansible load image testbed testbed-down test-cluster clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-13s %s\n", $$1, $$2}'
	@echo
	@echo "  make bench DATA=loan.csv.gz                     on Lending Club's own file"
	@echo "  make bench ARGS='--suite throughput --repeats 10'   any option of python -m bench.run"
	@echo "  make report RUN=results/20260102-030405-quick   write a run's report again"

setup: $(VENV)/.core ## make the environment in .venv and install the kit into it

$(VENV)/.core: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("error: Python 3.11 or newer is needed, this is %d.%d; name another: make PYTHON=python3.12" % sys.version_info[:2] if sys.version_info < (3, 11) else 0)'
	@echo "installing the kit into $(VENV) ..."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP) --editable .
	@touch $@

$(VENV)/.ansible: $(VENV)/.core
	@echo "installing Ansible into $(VENV) ..."
	@$(PIP) --editable '.[ansible]'
	@touch $@

$(VENV)/.load: $(VENV)/.core
	@echo "installing locust into $(VENV) ..."
	@$(PIP) --editable '.[load]'
	@touch $@

$(VENV)/.dev: $(VENV)/.core
	@echo "installing the tools for tests and checks into $(VENV) ..."
	@$(PIP) --editable '.[dev]'
	@touch $@

bench: setup ## compare federated with centralised and write a report (DATA=file, ARGS=options)
	@$(BIN)/python -m bench.run $(if $(DATA),--data $(DATA)) $(ARGS)

report: setup ## write a run's report again (RUN=folder)
	@$(BIN)/python -m bench.report $(RUN) $(ARGS)

messages: $(VENV)/.dev ## bring the catalogues of the report's messages up to date (bench/i18n/locale; then translate and repeat)
	@$(BIN)/pybabel --quiet extract --mapping-file bench/i18n/locale/babel.cfg --keywords gettext_noop --add-location file \
	  --omit-header --no-wrap --output-file bench/i18n/locale/report.pot .
	@$(BIN)/pybabel --quiet update --domain report --input-file bench/i18n/locale/report.pot --output-dir bench/i18n/locale \
	  --no-wrap --no-fuzzy-matching --ignore-obsolete --ignore-pot-creation-date
	@rm bench/i18n/locale/report.pot
	@$(BIN)/pybabel --quiet compile --domain report --directory bench/i18n/locale

test-fast: $(VENV)/.dev ## run the tests that start no process, in under a minute
	@$(BIN)/python -m pytest tests/unit --numprocesses auto $(ARGS)

test: $(VENV)/.dev ## run all tests (JOBS=files at once; ARGS=options and paths of pytest)
	@$(BIN)/python -m pytest --numprocesses $(JOBS) --dist loadfile --no-loadscope-reorder $(ARGS)

coverage: $(VENV)/.dev ## run all tests, and print which lines of bench/ none of them reaches
	@$(BIN)/python -m pytest --numprocesses $(JOBS) --dist loadfile --no-loadscope-reorder --cov --cov-report=term:skip-covered $(ARGS)

lint: $(VENV)/.dev ## check style, types, YAML, playbooks and scripts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache --no-logo
	$(BIN)/yamllint --strict .
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/ansible-lint --offline --strict
	$(BIN)/shellcheck .ci/run roles/*/files/*.sh tests/testbed/testbed.sh

types: $(VENV)/.dev ## check types only
	$(BIN)/mypy

fate: $(FATE)/.installed ## make FATE's own environment in .fate, for engine fate (1.6 GB; needs Python 3.11 and a C++ compiler)

# Made aside and put in place whole: half an environment is none.
$(FATE)/.installed: $(FATE_PACKAGES)
	@command -v $(FATE_PYTHON) >/dev/null || { echo "error: FATE's packages are for Python 3.11, and $(FATE_PYTHON) is not here; name one: make fate FATE_PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(FATE_PYTHON) -c 'import sys; sys.exit("error: FATE'"'"'s packages are for Python 3.11, this is %d.%d; name another: make fate FATE_PYTHON=/path/to/python3.11" % sys.version_info[:2] if sys.version_info[:2] != (3, 11) else 0)'
	@command -v c++ >/dev/null || { echo "error: one of FATE's packages must be compiled, and there is no C++ compiler; install one (Debian: apt-get install g++ python3-dev)" >&2; exit 1; }
	@echo "installing FATE into $(FATE) (300 MB to fetch, two minutes) ..."
	@rm -rf $(FATE)
	@$(FATE_PYTHON) -m venv $(FATE)
	@$(FATE)/bin/python -m pip install --quiet --disable-pip-version-check --no-compile $$(grep -E '^setuptools==' $(FATE_PACKAGES)) wheel
	@$(FATE)/bin/python -m pip install --quiet --disable-pip-version-check --no-compile --no-deps --no-build-isolation --use-pep517 \
	  $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) --requirement $(FATE_PACKAGES)
	@# FATE starts dozens of processes a job; each would compile what it imports where Python may not write.
	@$(FATE)/bin/python -m compileall -q -j 0 -x torch/testing $(FATE)/lib
	@$(FATE)/bin/python -c 'import torch, sys; torch.version.cuda and sys.exit("error: pip took a CUDA build of PyTorch, which does not start without 5 GB of CUDA; name an index of CPU builds: make fate TORCH_INDEX=https://...")'
	@touch $@

ansible: $(VENV)/.ansible ## install Ansible into .venv; then: .venv/bin/ansible-playbook site.yml

load: $(VENV)/.load ## install locust into .venv; then: .venv/bin/python -m bench.load --help

image: $(VENV)/.ansible ## build the image of a FATE party and pack it into an archive (needs a Docker engine)
	@$(BIN)/ansible-playbook playbooks/image.yml $(ARGS)

testbed: ## start three bare nodes in containers on this machine, for inventory/testbed.yml
	@tests/testbed/testbed.sh up

testbed-down: ## take the nodes away again
	@tests/testbed/testbed.sh down

test-cluster: $(VENV)/.dev ## from bare nodes to a federation, its failures, and back (root, a Docker engine, half an hour)
	@$(BIN)/ansible-playbook playbooks/image.yml
	@$(BIN)/python -m pytest tests/cluster $(ARGS)

perf: $(VENV)/.dev ## measure the kit's own speed; prints ratios measured in one run
	@$(BIN)/python tests/perf/engines.py
	@$(BIN)/python tests/perf/privacy.py
	@$(BIN)/python tests/perf/data.py
	@$(BIN)/python tests/perf/serve.py
	@$(BIN)/python tests/perf/fate.py

wire: $(VENV)/.dev ## generate the code of the parties' messages again, after a change of wire.proto
	$(BIN)/python -m grpc_tools.protoc -I bench/engines/federated --python_out=bench/engines/federated \
	  --pyi_out=bench/engines/federated bench/engines/federated/wire.proto

licences: $(VENV)/.dev ## write the tables of docs/licences.md from what is installed (FATE's where .fate is there)
	@$(BIN)/python docs/tools/licences.py docs/licences.md $(FATE)

role-docs: $(VENV)/.dev ## write the tables of variables in roles/*/README.md from their argument_specs
	@$(BIN)/python docs/tools/role_docs.py roles

collection: $(VENV)/.ansible ## build the roles as an Ansible collection, federated_bench-fate-VERSION.tar.gz
	@$(BIN)/ansible-galaxy collection build --force

clean: ## remove the environments and what tools left behind; results stay
	rm -rf $(VENV) $(FATE) build *.egg-info federated_bench-fate-*.tar.gz .coverage* .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
