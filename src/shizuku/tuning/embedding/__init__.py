"""Fine-tuning for vectors: texts that belong together come to lie near each other."""
