"""Measurements of Moat beside a bare socket and a bare SQLite in the same run: `python -m benchmarks --help`."""
