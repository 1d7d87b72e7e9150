"""A session from a configuration file: application code that knows no backend."""

from pathlib import Path

import decodekit

with decodekit.Session.from_config(Path(__file__).with_name("decodekit.toml")) as session:
    for step in session.stream("Once upon a time", max_tokens=32):
        print(step.text, end="", flush=True)
    print()
    for samples in session.generate_many(["Roses are", "Violets are"], n=3, max_tokens=6):
        print([sample.text for sample in samples])
