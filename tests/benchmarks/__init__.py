"""Measurements, side by side in one run: ``python tests/benchmarks/run.py [name ...]``. None of them is a test."""
