"""A process of players."""
