"""Smaller weights: packed formats, rounding floats into them, and native code that computes with them."""
