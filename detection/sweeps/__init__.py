"""Sweeps: every job in a process of its own, a table at the end, a search that can be interrupted."""
