"""What annotation files say: one reader for each format, for training, check and convert alike."""
