"""Every module and nothing else: the decoder, its state and its hooks."""
