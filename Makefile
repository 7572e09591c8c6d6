# Two commands do everything on a fresh Debian 12: `make demo` and `make test`.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.set-up
DEMO_STAMP := $(VENV)/.set-up-demo
PIP := $(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt
DEBIAN := orthanc orthanc-python orthanc-dicomweb orthanc-gdcm dcmtk dicom3tools postgresql \
	python3-venv
# Some processes test at once; threads of each for small matrices only get in the others' way.
export OMP_NUM_THREADS ?= 1
# What a test starts by the hundred is compiled once.
export PYTHONDONTWRITEBYTECODE :=
STUDY ?=
VIEWER_TGZ ?=

.DEFAULT_GOAL := help
.PHONY: help setup demo demo-drift viewer check test faults doors servers sbom audit fuzz bundle test-install bench bench-load clean debian browser promtool

help: ## explain these commands
	@echo "clic-edge: clinical AI beside the PACS"
	@echo
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 20
	@echo
	@echo "  make demo STUDY=DIR   the same with a study of your own"

setup: $(STAMP) ## make .venv and install what is needed, pinned in constraints.txt

$(STAMP): pyproject.toml constraints.txt | debian $(BIN)/python
	@echo "Installing into $(VENV) (some minutes at first)"
	@$(PIP) --editable '.[dev]'
	@touch $(STAMP) $(DEMO_STAMP)

$(DEMO_STAMP): pyproject.toml constraints.txt | debian $(BIN)/python
	@echo "Installing into $(VENV) (a minute at first)"
	@$(PIP) --editable '.[demo]'
	@touch $@

$(BIN)/python: | debian
	@$(PYTHON) -m venv $(VENV)

debian:
	@missing=""; for package in $(DEBIAN); do \
		dpkg-query --show --showformat='$${Status}' $$package 2>/dev/null | grep -q 'ok installed' \
			|| missing="$$missing $$package"; done; \
	if [ -n "$$missing" ]; then \
		if [ "$$(id -u)" = 0 ]; then \
			echo "Installing$$missing"; \
			(apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $$missing) \
				> /dev/null || exit 1; \
		else \
			echo "Please run this line, then make again:"; \
			echo "  sudo apt-get update && sudo apt-get install -y$$missing"; exit 1; \
		fi; fi

demo: $(DEMO_STAMP) ## send a study through a hospital PACS and the appliance, and show what comes back
	@$(BIN)/clic-edge demo $(if $(STUDY),--study "$(STUDY)")

demo-drift: $(DEMO_STAMP) ## replay half a year with a scanner change, and show the alarm on the pages
	@$(BIN)/clic-edge demo --drift --out build/demo-drift

viewer: $(DEMO_STAMP) ## fetch OHIF, so that `clic-edge web` shows images and results
	@$(BIN)/clic-edge viewer install $(if $(VIEWER_TGZ),--archive "$(VIEWER_TGZ)")

# Types are looked at while tests wait for servers, and told of after them; either fails both.
define tested
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ruff check --quiet .
	@mkdir -p build; $(BIN)/mypy > build/types.txt 2>&1 & types=$$!; \
		$(BIN)/pytest --dist loadscope --no-loadscope-reorder $(1) tests; tests=$$?; \
		wait $$types; types=$$?; cat build/types.txt; exit $$((tests + types))
endef

check: setup ## format, lint, types and the fast tests, in under a minute
	$(call tested,-q -n 2 -m "not servers and not slow and not faults and not install and not doors")

test: setup browser promtool ## all tests, with real servers, in under ten minutes
	$(call tested,-n 4 -m "not faults and not install and not doors")

doors: setup ## knock on every port of the appliance without credentials
	@$(BIN)/pytest -m doors tests/acceptance/test_ports.py

faults: setup ## break a running appliance in every way, and write docs/reference/faults.md
	@CLIC_EDGE_FAULTS_PAGE=1 $(BIN)/pytest -n 2 --dist loadscope --timeout 900 -m faults $(or $(ONLY),tests/faults)

# Without a browser or the viewer the tests of the viewer are skipped, and say so.
browser: | setup
	@if ! command -v chromium > /dev/null && [ "$$(id -u)" = 0 ]; then \
		echo "Installing chromium"; \
		(apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium) \
			> /dev/null || true; fi
	@command -v chromium > /dev/null || echo "No viewer tests without: sudo apt-get install chromium"
	@$(BIN)/clic-edge -c configs/clic-edge.toml viewer install || true

# Only the program, out of the package: no service starts.
promtool: build/prometheus/usr/bin/promtool

build/prometheus/usr/bin/promtool:
	@mkdir -p build/prometheus && cd build/prometheus && \
		{ (apt-get download -qq prometheus && dpkg --fsys-tarfile prometheus_*.deb \
			| tar -x ./usr/bin/promtool) > /dev/null 2>&1; rm -f prometheus_*.deb; true; }
	@test -x $@ || command -v promtool > /dev/null || echo "No tests by promtool without: apt-get download prometheus"

servers: ## install Triton and MLServer, against which the KServe runtime is tested
	@/usr/bin/python3 -m venv build/pytriton && build/pytriton/bin/pip install --quiet nvidia-pytriton==0.7.0
	@$(PYTHON) -m venv build/mlserver && build/mlserver/bin/pip install --quiet mlserver==1.7.1

sbom: setup ## write build/sbom.cdx.json, what all this is made of, and build/licences.md
	@mkdir -p build && $(BIN)/python appliance/sbom.py build/sbom.cdx.json --licences build/licences.md

bundle: setup ## make dist/clic-edge-VERSION.tar, signed: all that a Debian 12 without network needs; KEY=release.pem
	@$(BIN)/python appliance/bundle/build.py $(if $(KEY),--key "$(KEY)")

test-install: setup ## install, upgrade, roll back and restore on a bare Debian 12 of its own, as root
	@$(BIN)/pytest -m install tests/install

audit: setup ## bandit over the code, and known vulnerabilities of what it stands on
	@$(BIN)/python appliance/audit.py $(if $(ADVISORIES),--advisories "$(ADVISORIES)")

fuzz: setup ## feed every entrance with what nobody would write, SECONDS=60 each
	@$(PIP) --editable '.[fuzz]'
	@PYTHONPATH=src $(BIN)/python tests/fuzz/run.py --each $(or $(SECONDS),60)

bench: setup ## measure against peers and write benchmarks/RESULTS.md
	@$(BIN)/python benchmarks/run.py

bench-load: setup ## send a hospital's traffic into the appliance and write benchmarks/LOAD.md; SIZES=--small
	@$(BIN)/python benchmarks/load.py $(SIZES)

clean: ## remove what was built; keeps your checkout
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
