"""A small simulated town: its facts, and plain English and Japanese prose about them that can be checked.

`world`, `days` and `records` simulate, and know nothing about language; `grammar` writes and reads with
productions; `english/` and `japanese/` hold them; `plans/` choose what a register tells; `write` puts it on
disk; `judge` reads a text back and checks it against the facts.
"""

from shizuku.data.town.judge import Judge, Verdict, Verdicts
from shizuku.data.town.world import Town, build_town
from shizuku.data.town.write import TownDocument, TownSummary, days_for, town_documents, write_town

__all__ = [
    "Judge",
    "Town",
    "TownDocument",
    "TownSummary",
    "Verdict",
    "Verdicts",
    "build_town",
    "days_for",
    "town_documents",
    "write_town",
]
