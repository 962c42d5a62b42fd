# The commands of README.md and CONTRIBUTING.md. `make help` lists them.

.PHONY: help install test core store check format mutants

help:           ## list the targets
	@grep -E '^[a-z]+: +##' $(MAKEFILE_LIST) | sed 's/: *## */	/'

install:        ## install the package and the tools of development
	pip install -q -e '.[dev]'

test:           ## run all tests
	pytest

core:           ## run the tests of core: seconds, no database
	pytest -n 0 tests/core

store:          ## run the tests of core and of the store
	pytest tests/core tests/store

check:          ## check format, lint, types and import contracts
	ruff format --check . && ruff check . && mypy && lint-imports

format:         ## format the code and repair what lint can repair
	ruff format . && ruff check --fix .

mutants:        ## check that the tests catch seeded faults: several minutes
	python tests/mutants.py
