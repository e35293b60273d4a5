"""Scores of trained generators against known truth."""
