"""How much of the corpus is template: the most frequent 8-grams, as shares of documents."""

import re
from collections import Counter
from collections.abc import Iterable

from shizuku.data.town.write import TownDocument

N = 8
_WORD = re.compile(r"[\w'’-]+")


def frequent_spans(documents: Iterable[TownDocument], *, top: int = 10) -> dict[str, list[tuple[str, float]]]:
    """By language, the spans of 8 words (English) or 8 characters (Japanese) that stand in most documents.

    Each span comes with the share of the language's documents that contain it, from 0 to 1. Hashes are
    counted first and spelled out after, so memory stays at one number a span.
    """
    kept = list(documents)
    result: dict[str, list[tuple[str, float]]] = {}
    for language in ("en", "ja"):
        texts = [d.text for d in kept if d.language == language]
        counts: Counter[int] = Counter()
        for text in texts:
            counts.update({hash(span) for span in _spans(text, language)})
        wanted = {h for h, _ in counts.most_common(top)}
        spelled: dict[int, str] = {}
        for text in texts:
            if len(spelled) == len(wanted):
                break
            spelled |= {hash(s): s for s in _spans(text, language) if hash(s) in wanted}
        result[language] = [
            (spelled[h], count / len(texts)) for h, count in counts.most_common(top) if count and texts
        ]
    return result


def _spans(text: str, language: str) -> set[str]:
    """All spans of a text, each once."""
    if language == "en":
        words = _WORD.findall(text.lower())
        return {" ".join(words[i : i + N]) for i in range(len(words) - N + 1)}
    joined = text.replace("\n", "")
    return {joined[i : i + N] for i in range(len(joined) - N + 1)}
