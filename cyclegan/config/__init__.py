"""The configuration of a run: its keys, the rules between them, and the files that hold it."""
