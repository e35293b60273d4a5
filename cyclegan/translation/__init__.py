"""Translation with trained generators: folders of images in, folders of images out."""
