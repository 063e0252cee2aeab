"""What only a GPU can answer; its own page: ``python -m benchmarks.gpu --help``."""
