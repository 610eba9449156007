# Everything starts from a fresh clone: each target first makes .venv by itself, once.
VENV ?= .venv
# The Python that .venv is made with; empty: the first of the list below that is 3.11 or newer.
PYTHON ?=
PYTHONS = python3.13 python3.12 python3.11 python3
EXTRAS ?= dev
# PyTorch's index of CPU builds. Where it can't be reached, pip's own index is asked for the same version.
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
# For a GPU: make setup CUDA=yes TORCH_INDEX=https://download.pytorch.org/whl/cu130
CUDA ?= no
JOBS ?= 2
PYTEST_ARGS ?=
LAB_ARGS ?=
BENCH_ARGS ?=
APP_ARGS ?=
STICK ?= stick
SWEEPS ?= data/results/curves

BIN = $(VENV)/bin
PIP = $(BIN)/python -m pip --disable-pip-version-check
READY = $(VENV)/.ready
TORCH = $$(grep '^torch==' constraints.txt)

.PHONY: help setup demo test lint format app page docs stick lab bench bazaar clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' Makefile

setup: $(READY) ## make .venv with everything in it (done by itself before the others)

demo: $(READY) ## run the whole line on the embedded store: identifiers, model, both tasks, report.html
	$(BIN)/gensar-lite run --data bazaar --preset tiny --strategy gensar --seed 0 --out runs/demo --examples 3
	@echo "The report: runs/demo/report.html"

test: $(READY) ## ruff, mypy and all tests (at most 10 minutes on 2 cores)
	@$(MAKE) --no-print-directory lint; linted=$$?; \
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist loadfile $(PYTEST_ARGS); tested=$$?; \
	if test $$linted != 0; then echo "ruff or mypy found something: see above, or make lint" >&2; fi; \
	exit $$((linted || tested))

lint: $(READY) ## ruff and mypy only
	@failed=0; \
	$(BIN)/ruff check --output-format concise . || failed=1; \
	$(BIN)/ruff format --check --output-format concise . || failed=1; \
	$(BIN)/mypy || failed=1; \
	exit $$failed

format: $(READY) ## lay the code out and repair what ruff can repair
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

app: $(READY) ## the live model as one page in the browser (trains a quick model once, where there is no runs/demo)
	$(BIN)/gensar-lite app $(APP_ARGS)

page: $(READY) ## make the committed page of the embedded store again, from runs/demo, with its recorded answers and the README's pictures
	$(BIN)/python -m gensar_lite.explore.recorded runs/demo docs/_static/bazaar.html $(SWEEPS:%=--sweep %)
	SCREENSHOTS=docs/images $(BIN)/python -m pytest -q tests/test_live_page.py -k pictures

docs: $(READY) ## build the site, offline: docs/_build/html/index.html
	$(BIN)/python -m sphinx -q -W --keep-going -b html docs docs/_build/html
	@echo "The site: docs/_build/html/index.html"

stick: $(READY) ## a folder for a workshop without a network: packages, the project, models and site where there are any
	mkdir -p $(STICK)
	git archive --format=zip --prefix=gensar_lite/ -o $(STICK)/gensar_lite.zip HEAD
	$(BIN)/python .ci/requirements.py app tradeoff > $(STICK)/stick-requirements.txt
	$(PIP) download -q -d $(STICK)/wheels --no-deps --index-url $(TORCH_INDEX) $(TORCH) || $(PIP) download -q -d $(STICK)/wheels --no-deps $(TORCH)
	$(PIP) download -q -d $(STICK)/wheels --find-links $(STICK)/wheels -c constraints.txt -r $(STICK)/stick-requirements.txt
	for folder in runs/demo runs/app; do if test -d $$folder; then mkdir -p $(STICK)/runs && cp -R $$folder $(STICK)/runs/; fi; done
	if test -d docs/_build/html; then cp -R docs/_build/html $(STICK)/site; fi
	@du -sh $(STICK)/*

lab: $(READY) ## open the notebooks in JupyterLab
	$(BIN)/jupyter lab --notebook-dir=notebooks $(LAB_ARGS)

bench: $(READY) ## measure speed against what one would use instead (minutes each; BENCH_ARGS="--size large": hours)
	@for name in decoding scoring trie agreement training rqvae line scale; do \
	  echo "== $$name" && OMP_NUM_THREADS=1 $(BIN)/python benchmarks/$$name.py $(BENCH_ARGS) || exit 1; \
	done

bazaar: $(READY) ## simulate the embedded store again into data/bazaar
	$(BIN)/gensar-lite data simulate --out data/bazaar

clean: ## remove .venv, caches and build folders (runs/ stays)
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .hypothesis .mypy_cache .ruff_cache .import_linter_cache docs/_build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Set up again only when what is installed may have changed.
$(READY): pyproject.toml constraints.txt
	@$(BIN)/python -c "import pip" 2>/dev/null || { \
	  for candidate in $(or $(PYTHON),$(PYTHONS)); do \
	    if "$$candidate" -c "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))" 2>/dev/null; then \
	      echo "Making $(VENV) with $$("$$candidate" --version)"; \
	      "$$candidate" -m venv --clear $(VENV) && exit 0; \
	    fi; \
	  done; \
	  echo "No Python 3.11 or newer with its venv module was found (tried: $(or $(PYTHON),$(PYTHONS)));" \
	    "install one (Debian: python3-venv; macOS: brew install python@3.13) or name it: make PYTHON=/path/to/python3." >&2; \
	  exit 1; }
	@echo "Installing $(TORCH) for $(if $(filter yes,$(CUDA)),the GPU,the CPU)"
	@$(PIP) install -qq --retries 0 --timeout 20 --no-deps --index-url $(TORCH_INDEX) $(TORCH) || { \
	  echo "$(TORCH_INDEX) gave no $(TORCH); asking pip's own index."; \
	  $(PIP) install -qq --no-deps $(TORCH); }
	@$(if $(filter yes,$(CUDA)),true,$(BIN)/python .ci/check_torch.py) || { $(PIP) uninstall -qq --yes torch; exit 1; }
	@echo "Installing the rest (a few minutes)"
	@$(PIP) install -qq -c constraints.txt -e ".[$(EXTRAS)]"
	@$(if $(filter yes,$(CUDA)),true,$(BIN)/python .ci/check_torch.py)
	@touch $(READY)
	@echo "Ready: $(VENV)"
