"""Files on disk become samples: VOC folders, generated shapes, transforms and batches."""

import os

# albumentations asks the package index for its latest version at import; training must not wait for that.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
