"""From a compute budget to a model size and a number of tokens."""
