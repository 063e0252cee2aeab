"""Floor 1: losses, pure functions of tensors."""
