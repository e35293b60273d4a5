"""Generators and discriminators, the layers they are built from, and their weights."""
