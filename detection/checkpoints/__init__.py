"""What a checkpoint says, and what a run starts from."""
