"""Files, terminals and processes: what a run meets outside of Python."""
