"""The town in plain Japanese: its words, and the productions of each register."""
