"""Trained generators in the formats of other programs."""
