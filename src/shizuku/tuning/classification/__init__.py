"""Fine-tuning for a task: a label for a text, from a head on any model."""
