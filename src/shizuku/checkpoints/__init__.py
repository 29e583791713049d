"""Models on disk: our directory, Hugging Face directories, GGUF; fetching by name."""
