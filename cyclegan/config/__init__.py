"""The configuration of a run: its sections and keys, the rules between them, and the files that hold it."""
