"""A detector that answers requests over HTTP."""
