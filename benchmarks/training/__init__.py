"""Trainings that compare: with torchvision's detectors, and with parts of our recipe left out."""
