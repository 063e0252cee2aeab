"""Annotations and detections as files: one module for each format."""
