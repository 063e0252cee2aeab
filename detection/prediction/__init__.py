"""Detection on a user's own images and videos: finding, reading, drawing and writing."""
