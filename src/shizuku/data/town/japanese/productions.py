"""All Japanese productions."""

from shizuku.data.town.japanese import (
    dialogues,
    entries,
    events,
    instructions,
    lessons,
    letters,
    notices,
    stories,
    sums,
)

TEXTS = [m.TEXT for m in (events, stories, notices, letters, entries, sums, instructions, dialogues, lessons)]
