"""Files on disk become samples: VOC folders, generated shapes, transforms and batches."""
