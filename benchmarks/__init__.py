"""Timing scripts: each writes one JSON record; `page.py` makes tables and plots of them for docs/benchmarks.md."""
