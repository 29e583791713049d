"""All English productions."""

from shizuku.data.town.english import events, stories

TEXTS = [events.TEXT, stories.TEXT]
