"""The whole life of a small model, from text to a report, in a given number of minutes."""
