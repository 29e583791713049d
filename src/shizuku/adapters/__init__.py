"""Low-rank adapters: reversible surgery on a model's linear layers."""
