"""Trained pairs of generators on disk: reading and writing them, and finding them by name or address."""
