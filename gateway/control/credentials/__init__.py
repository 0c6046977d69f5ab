"""Keys of provider accounts."""
