"""The small layers that architectures share."""
