"""What each register tells, in which order: plans choose facts, the languages' productions word them."""

from collections.abc import Callable

from shizuku.data.town.days import Days
from shizuku.data.town.plans.arithmetic import arithmetic
from shizuku.data.town.plans.dialogue import dialogue
from shizuku.data.town.plans.entry import entry
from shizuku.data.town.plans.instructions import instructions
from shizuku.data.town.plans.letter import letter
from shizuku.data.town.plans.notice import notice
from shizuku.data.town.plans.story import story
from shizuku.data.town.voice import Draft

PLANS: dict[str, Callable[[Draft, Days], None]] = {
    "story": story,
    "notice": notice,
    "letter": letter,
    "entry": entry,
    "arithmetic": arithmetic,
    "instructions": instructions,
    "dialogue": dialogue,
}
"""Register -> the plan of one document."""

DECK = (
    *("story",) * 6, *("dialogue",) * 5, *("letter",) * 4, *("entry",) * 4, *("notice",) * 3,
    *("arithmetic",) * 3, *("instructions",) * 2,
)  # fmt: skip
"""How often each register comes up."""
