"""The article's sentence: which heads look from "it" to the animal when it was tired, to the street if wide?

    python recipes/attention_it.py [MODEL] [--heads 10]

Printed as Markdown. In a decoder "it" stands before the word that decides, so its attention is the same in
both sentences, which is checked; what can tell them apart is where the deciding word looks, and what the
model writes afterwards. So these tables: heads from "it"; heads whose lean (attention to the first noun minus
that to the second) differs most between the endings, from the ending and, in an encoder, from "it"; whether
these heads lean the same way in other sentences of the kind, which nothing was chosen on; and which heads
carry a decoder's answer, by putting each one's reading of the clean text into the other text.
"""

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from shizuku import LanguageModel
from shizuku.inference.embedding import ids_to_embed
from shizuku.interpretability.effects import patch_effects
from shizuku.interpretability.known_heads import known_heads
from shizuku.interpretability.maps import attention_maps
from shizuku.interpretability.pairs import find_word, looks, ranked
from shizuku.interpretability.patching import logit_difference, run_on
from shizuku.text.spelling import spellings


@dataclass(frozen=True, slots=True)
class Pair:
    """Two sentences that differ in their end, which decides what `it` is."""

    sentence: str
    """With {} where the end stands."""
    nouns: tuple[str, str]
    ends: tuple[str, str]
    """The end that makes `it` the first noun, and the one that makes it the second."""


ARTICLE = Pair(
    "The animal didn't cross the street because it was too {}.", ("animal", "street"), ("tired", "wide")
)
OTHERS = tuple(
    Pair(f"The {sentence} {{}}.", (first, second), (one, other))
    for sentence, first, second, one, other in (
        ("trophy didn't fit in the suitcase because it was too", "trophy", "suitcase", "big", "small"),
        ("box couldn't hold the book because it was too", "box", "book", "small", "big"),
        ("truck passed the bus because it was so", "truck", "bus", "fast", "slow"),
        ("boat couldn't pass the bridge because it was too", "boat", "bridge", "tall", "low"),
        ("lion ate the fish because it was so", "lion", "fish", "hungry", "tasty"),
        ("knife cut the bread easily because it was so", "knife", "bread", "sharp", "soft"),
        ("horse couldn't pull the cart because it was too", "horse", "cart", "weak", "heavy"),
        ("table won't fit through the door because it is too", "table", "door", "wide", "narrow"),
        ("plane couldn't land at the airport because it was too", "plane", "airport", "big", "busy"),
        ("car didn't take the road because it was", "car", "road", "broken", "closed"),
        ("bird left the tree because it was", "bird", "tree", "afraid", "dead"),
        ("paint didn't cover the wall because it was too", "paint", "wall", "thin", "rough"),
        ("rope couldn't hold the rock because it was too", "rope", "rock", "thin", "heavy"),
        ("sheep didn't drink from the river because it was", "sheep", "river", "sick", "dirty"),
        ("dog didn't eat the meat because it was too", "dog", "meat", "full", "old"),
        ("ball broke the window because it was so", "ball", "window", "hard", "thin"),
    )
)
QUESTION = ' Here "it" means the'


@dataclass(frozen=True, slots=True)
class Measured:
    """A pair in a model, float32 [L, H] each."""

    from_it: tuple[np.ndarray, np.ndarray]
    """From `it` to each noun, with the first end."""
    moved: float
    """Largest change of any head's attention from `it` between the ends."""
    lean: np.ndarray
    """From the end: to the first noun minus to the second, with the first end minus with the second."""
    lean_it: np.ndarray
    """The same from `it`."""


def measure(lm: LanguageModel, pair: Pair) -> Measured:
    """Where heads look in both sentences of a pair."""
    found = []
    for end in pair.ends:
        ids = ids_to_embed(lm.engine, lm.tokenizer, pair.sentence.format(end))
        tokens = spellings(lm.tokenizer, ids)
        maps = attention_maps(lm.model, ids)
        nouns = [find_word(tokens, noun) for noun in pair.nouns]
        rows = [find_word(tokens, "it"), find_word(tokens, end)]
        found.append([[looks(maps, row, noun) for noun in nouns] for row in rows])
    (it, last), (other_it, other_last) = found
    moved = max(float(np.abs(a - b).max()) for a, b in zip(it, other_it, strict=True))
    leans = [(a[0] - a[1]) - (b[0] - b[1]) for a, b in ((last, other_last), (it, other_it))]
    return Measured((it[0], it[1]), moved, *leans)


def answers(lm: LanguageModel, pair: Pair) -> tuple[float, float]:
    """By how many nats the model says the first noun rather than the second, with each end."""
    right, wrong = (lm.tokenizer.encode(f" {noun}")[0] for noun in pair.nouns)
    score = logit_difference(right, wrong)
    return tuple(  # type: ignore[return-value]
        float(score(run_on(lm.model, lm.prompt_ids(pair.sentence.format(end) + QUESTION))[None]))
        for end in pair.ends
    )


def table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a Markdown table."""
    print("\n| " + " | ".join(columns) + " |\n|" + "---|" * len(columns))
    for row in rows:
        print("| " + " | ".join(f"{one:.3f}" if isinstance(one, float) else str(one) for one in row) + " |")


def by_chance(right: int, of: int) -> float:
    """How probable at least so many of a number of fair coins are."""
    return sum(math.comb(of, k) for k in range(right, of + 1)) / 2**of


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Run and print; returns the figures of the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", nargs="?", default="smollm2-135m-instruct")
    parser.add_argument("--heads", type=int, default=10)
    given = parser.parse_args(arguments)
    lm = LanguageModel.load(given.model)
    tokenizer = lm.tokenizer
    known = known_heads(lm.model, ids=range(tokenizer.vocab_size), start=tokenizer.document_start_id)
    print("## Heads that are known from other models")
    rows = [
        (
            f"{a.layer}.{a.head}", a.value, f"{b.layer}.{b.head}", b.value
        )
        for a, b in zip(ranked(known.induction, 5), ranked(known.previous, 5), strict=True)
    ]  # fmt: skip
    table(("induction head", "share", "previous-token head", "share"), rows)
    article, others = measure(lm, ARTICLE), [measure(lm, pair) for pair in OTHERS]
    print(
        f"\n## From `it`\n\nBetween the ends its attention moves in no head by more than {article.moved:.1e}."
    )
    first, second = article.from_it
    rows = [
        (f"{a.layer}.{a.head}", a.value, f"{b.layer}.{b.head}", b.value)
        for a, b in zip(ranked(first, given.heads), ranked(second, given.heads), strict=True)
    ]
    table(("head", f"to {ARTICLE.nouns[0]}", "head", f"to {ARTICLE.nouns[1]}"), rows)
    leans(
        f"From the end ({' or '.join(ARTICLE.ends)})", article.lean, [one.lean for one in others], given.heads
    )
    if article.moved > 1e-4:
        leans("From `it`", article.lean_it, [one.lean_it for one in others], given.heads)
    found = {"known": known, "article": article, "others": others}
    return found | carried(lm, article, given.heads) if "generate" in lm.capabilities else found


def leans(title: str, article: np.ndarray, others: Sequence[np.ndarray], count: int) -> None:
    """Print the heads whose lean differs most in the article's pair, and what they do in the others."""
    print(f"\n## {title}: the lean's difference\n")
    print(f"`elsewhere`: its mean difference over {len(others)} other pairs; `same way`: in how many.")
    rows = []
    for one in ranked(article, count):
        there = np.array([other[one.layer, one.head] for other in others])
        same = int((there > 0).sum())
        rows.append((f"{one.layer}.{one.head}", one.value, float(there.mean()), f"{same} of {len(there)}",
                     by_chance(same, len(there))))  # fmt: skip
    table(("head", "difference", "elsewhere", "same way", "by chance"), rows)


def carried(lm: LanguageModel, article: Measured, count: int) -> dict[str, Any]:
    """Print what the model answers, and the heads that make the difference."""
    print("\n## What the model says\n")
    said = [answers(lm, pair) for pair in (ARTICLE, *OTHERS)]
    better = sum(one > other for one, other in said)
    both = sum(one > 0 > other for one, other in said)
    print(f"The article's pair: {said[0][0]:+.2f} and {said[0][1]:+.2f} nats for {ARTICLE.nouns[0]}. Of all")
    print(f"{len(said)} pairs the first end moves the answer to the first noun in {better} (chance: half,")
    print(f"{by_chance(better, len(said)):.3f} for so many), both answers are right in {both} (a quarter).")
    right, wrong = (lm.tokenizer.encode(f" {noun}")[0] for noun in ARTICLE.nouns)
    texts = [lm.prompt_ids(ARTICLE.sentence.format(end) + QUESTION) for end in ARTICLE.ends]
    effects = patch_effects(lm.model, *texts, logit_difference(right, wrong))
    print("\n## Heads that carry the difference (patched one at a time; 1 restores all of it)")
    rows = [(f"{one.layer}.{one.head}", one.value, float(article.lean[one.layer, one.head]))
            for one in ranked(effects.values, count, size=True)]  # fmt: skip
    table(("head", "restored", "lean's difference"), rows)
    return {"said": said, "effects": effects}


if __name__ == "__main__":
    main()
