"""Direct preference optimisation: the model itself as the reward model of its answers."""
