"""Generators, discriminators, and the bundle that carries a trained generator."""
