"""Scores of images and of trained generators, and the symptoms by which an ill one is known."""
