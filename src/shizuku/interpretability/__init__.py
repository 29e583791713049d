"""Looking inside: where heads look, what happens without one, and what carries an answer."""
