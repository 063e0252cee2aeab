"""HTML pages that need nothing else: their style, their figures and their photos, for all commands alike."""
