# Two commands for a fresh machine with Python 3.11+, git and make:
#   make demo    condense the bundled digits, evaluate, draw (under 3 minutes after installation)
#   make test    run the tests
# and two for a quiet hour:
#   make campaign    full disks, signals, tampered folders, damaged files (CAMPAIGN_SIZE=0.1 for a tenth of it)
#   make bench       speed beside a plain transcription, on a GPU where there is one (under 5 minutes there)

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: install demo test campaign bench lint clean

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev,ray]"
	touch $(STAMP)

demo: $(STAMP)
	rm -rf demo
	$(BIN)/condense run --data digits --method dm --ipc 1 --steps 120 --out demo
	$(BIN)/condense evaluate demo --protocol quick --whole-epochs 20
	$(BIN)/condense show demo

test: $(STAMP)
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile

campaign: $(STAMP)
	$(BIN)/python -m pytest tests/campaign -m campaign -s

bench: $(STAMP)
	$(BIN)/python benchmarks/speed.py --json results/speed.jsonl $(BENCH)

# pyright comes from the npm registry at its first start
lint: $(STAMP)
	$(BIN)/ruff check src tests benchmarks examples results
	$(BIN)/ruff format --check src tests benchmarks examples results
	$(BIN)/pyright

clean:
	rm -rf $(VENV) demo dist build
