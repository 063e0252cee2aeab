"""Floor 1: anchors and ground truth in, what each anchor should predict out."""
