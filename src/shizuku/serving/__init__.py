"""The OpenAI-compatible server and what it says of itself; nothing here needs torch at import."""
