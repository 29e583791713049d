"""The town in plain English: its words, and the productions of each register."""
