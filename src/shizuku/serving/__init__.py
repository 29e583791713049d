"""A model for other programs: the OpenAI-compatible API and the web page."""
