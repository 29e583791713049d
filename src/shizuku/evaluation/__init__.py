"""Perplexity and the baselines it stands beside."""
