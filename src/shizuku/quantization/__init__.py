"""Smaller weights: packed formats, how floats are rounded into them, and the native code that computes with them."""
