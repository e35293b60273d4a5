"""Trained generators at work: folders of images in, folders of images out."""
