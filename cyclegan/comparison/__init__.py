"""Runs side by side on a page."""
