# The front door of a clone. Every target sets up what it needs, once, on a machine with nothing but Python and make.

PYTHON ?= python3
DEVICE ?= cpu
BIN := $(if $(filter Windows_NT,$(OS)),.venv/Scripts,.venv/bin)
LOWEST_BIN := $(if $(filter Windows_NT,$(OS)),.venv-lowest/Scripts,.venv-lowest/bin)
UV_INSTALL = $(BIN)/uv pip install --quiet --python

.DEFAULT_GOAL := help
.PHONY: help demo test check format bench methods-page methods-verdicts sanity-page shortcuts-study shortcuts-isic audit-bench calibrate lowest clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /make \1 - /p' Makefile

demo: .venv/.package ## explain real pictures with the bundled model and write a page into demo-out/
	$(BIN)/heatproof demo

# One thread each: two test processes that both use every core are slower than one.
test: .venv/.dev ## run all tests (HEATPROOF_DATA names the folder of real data; without it those tests skip)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal $(ARGS)

check: .venv/.dev ## formatting, lint, types, and the layers' order of imports
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright
	$(BIN)/lint-imports

format: .venv/.dev ## put the formatting right
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: .venv/.dev ## side by side with peers; DEVICE=cuda for a GPU
	$(BIN)/python -m bench --device $(DEVICE) $(ARGS)
	$(BIN)/python -m bench.methods --device $(DEVICE)
	$(BIN)/python -m bench.sanity
	$(BIN)/python -m bench.faithfulness

methods-page: .venv/.dev ## rewrite the table and the gallery of docs/methods.md (HEATPROOF_DATA names the real data)
	OMP_NUM_THREADS=1 $(BIN)/python -m bench.methods_page $(ARGS)

methods-verdicts: .venv/.dev ## put every method to the checks, for docs/methods.md (HEATPROOF_DATA names the real data)
	OMP_NUM_THREADS=1 $(BIN)/python -m bench.methods_verdicts $(ARGS)
	$(BIN)/python -m bench.methods_page --only verdicts

shortcuts-study: .venv/.dev ## how often planted shortcuts are found and confirmed, for docs/shortcuts.md
	OMP_NUM_THREADS=1 $(BIN)/python -m bench.shortcuts_study $(ARGS)

shortcuts-isic: .venv/.dev ## ask a network trained on ISIC 2017 about stickers (HEATPROOF_DATA names the real data)
	$(BIN)/python -m bench.shortcuts_isic $(ARGS)

audit-bench: .venv/.dev ## what audits promise: kill -9, memory, overhead, Ray (HEATPROOF_DATA names the real data)
	$(UV_INSTALL) $(BIN)/python -c constraints.txt -e ".[vision,audit,cluster]"
	for what in kills memory overhead ray; do $(BIN)/python -m bench.audit $$what || exit 1; done

sanity-page: .venv/.dev ## rewrite the table and the figure of docs/sanity.md (HEATPROOF_DATA names the real data)
	$(BIN)/python -m bench.sanity_page $(ARGS)

calibrate: .venv/.package ## how often the checks err on planted problems, and their statistics without; for docs/calibration.md
	$(BIN)/heatproof calibrate $(ARGS)
	$(BIN)/python -m bench.error_rates

# Direct dependencies at the lowest versions that pyproject.toml declares, in an environment of their own. What those old
# versions say about each other's deprecations is no error, and the peers are not there.
lowest: .venv-lowest/.package ## run the tests on the lowest declared versions
	OMP_NUM_THREADS=1 $(LOWEST_BIN)/python -m pytest -n 2 --dist worksteal -m "not real and not slow" \
		--ignore tests/peers --ignore tests/compat -o filterwarnings=default $(ARGS)

clean: ## remove what these targets made
	rm -rf .venv .venv-lowest .pytest_cache .ruff_cache .hypothesis .import_linter_cache demo-out

.venv/.uv: constraints.txt
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'heatproof needs Python 3.11 or later, this is ' + sys.version.split()[0] + '; run make PYTHON=python3.11')"
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt uv
	@touch $@

.venv/.package: .venv/.uv pyproject.toml constraints.txt
	$(UV_INSTALL) $(BIN)/python -c constraints.txt -b constraints.txt -e ".[vision,audit,slides,medical]"
	@touch $@

.venv/.dev: .venv/.package
	$(UV_INSTALL) $(BIN)/python -c constraints.txt --group dev
# It asks for a second build of OpenCV beside the one that grad-cam brings; all else that it needs is there.
	$(UV_INSTALL) $(BIN)/python -c constraints.txt --no-deps quantus cachetools
	@touch $@

.venv-lowest/.package: .venv/.uv pyproject.toml
	$(PYTHON) -m venv --clear .venv-lowest
	$(UV_INSTALL) $(LOWEST_BIN)/python --resolution lowest-direct -e ".[vision,audit,slides,medical,science]" --group test
	@touch $@
