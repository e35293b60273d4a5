"""A page to try models in a browser."""
