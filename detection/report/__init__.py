"""The report of an evaluation: figures, a page, and files that other evaluators read."""
