"""All English productions."""

from shizuku.data.town.english import (
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
