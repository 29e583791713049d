"""From logits to tokens: sampling and batched generation on token ids."""
