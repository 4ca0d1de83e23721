"""The watch page in a real browser."""
