"""Makes the rows of a new version out of those of another by a recipe; runs as a process of its own."""
