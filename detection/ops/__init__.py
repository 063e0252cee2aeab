"""Floor 0: tensors in, tensors out; imports torch and torchvision.ops only."""
