"""What each register tells, in which order: plans choose facts, the languages' productions word them."""

from collections.abc import Callable

from shizuku.data.town.days import Days
from shizuku.data.town.plans.story import story
from shizuku.data.town.voice import Draft

PLANS: dict[str, Callable[[Draft, Days], None]] = {
    "story": story,
}
"""Register -> the plan of one document."""

DECK = ("story",) * 6
"""How often each register comes up."""
