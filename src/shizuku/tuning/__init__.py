"""From a base model to one that follows, prefers and stops: data, objectives and sources for the one loop."""
