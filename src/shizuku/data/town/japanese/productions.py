"""All Japanese productions."""

from shizuku.data.town.japanese import events, stories

TEXTS = [events.TEXT, stories.TEXT]
