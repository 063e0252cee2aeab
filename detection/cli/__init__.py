"""What the commands share: their words, their configuration, their errors."""
