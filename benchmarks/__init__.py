"""Benchmarks of Moat compared with a bare socket and bare SQLite in the same run: `python -m benchmarks --help`."""
