"""Documents in and out, tokenizers, control tokens and chat templates."""
