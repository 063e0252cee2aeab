"""Measures how fast a user's own model and loader are."""
