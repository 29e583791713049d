"""Byte-pair encoding as slowly and plainly as it can be written: the judge of the fast trainer."""

from collections import Counter
from itertools import pairwise

import regex

WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
CUT = regex.compile(WORDS + r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
JAPANESE = r"[\p{Han}々〆]{1,4}|\p{Hiragana}{1,8}|[\p{Katakana}ー]{1,16}"
SHORT = regex.compile(JAPANESE + r"|[^\p{Han}\p{Hiragana}\p{Katakana}々〆ー]{1,32}")


def byte_order() -> list[int]:
    """Bytes in the order of their characters in GPT-2's alphabet: printable Latin-1 first, then others."""
    printable = [b for b in range(256) if 33 <= b <= 126 or (161 <= b <= 255 and b != 173)]
    return printable + [b for b in range(256) if b not in printable]


def train(texts: list[str], merges: int, first_id: int, min_frequency: int = 2) -> list[bytes]:
    """The bytes of each entry from `first_id` on: 256 bytes, then `merges` merges.

    The most frequent pair of neighbours is merged; among equals the one with the lowest (left id, right id).
    """
    entries = [bytes([byte]) for byte in byte_order()]
    id_of_byte = {entry[0]: first_id + index for index, entry in enumerate(entries)}
    words = [([id_of_byte[byte] for byte in piece.encode()], count) for piece, count in pieces(texts).items()]
    return learn(words, entries, merges, first_id, min_frequency)


def train_characters(texts: list[str], merges: int, first_id: int, min_frequency: int = 2) -> list[str]:
    """The same over characters, which come first, in the order of Unicode."""
    entries = sorted(set("".join(texts)))
    id_of = {character: first_id + index for index, character in enumerate(entries)}
    words = [([id_of[character] for character in piece], count) for piece, count in pieces(texts).items()]
    return learn(words, entries, merges, first_id, min_frequency)


def pieces(texts: list[str]) -> Counter[str]:
    """How often each piece occurs that merges stay inside of."""
    return Counter(short for text in texts for cut in CUT.findall(text) for short in SHORT.findall(cut))


def learn(
    words: list[tuple[list[int], int]], entries: list, merges: int, first_id: int, min_frequency: int
) -> list:
    """`entries` with the merges of `words` after them."""
    pairs = Counter(pair for ids, count in words for pair in neighbours(ids) * count)
    for _ in range(merges):
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        if pairs[best] < min_frequency:
            break
        left, right = best
        entries.append(entries[left - first_id] + entries[right - first_id])
        for index, (ids, count) in enumerate(words):
            if left in ids and best in neighbours(ids):
                new = merged(ids, best, first_id + len(entries) - 1)
                pairs.subtract(neighbours(ids) * count)
                pairs.update(neighbours(new) * count)
                words[index] = (new, count)
    return entries


def neighbours(ids: list[int]) -> list[tuple[int, int]]:
    """Every pair of ids that stand side by side."""
    return list(pairwise(ids))


def merged(ids: list[int], pair: tuple[int, int], new: int) -> list[int]:
    out: list[int] = []
    place = 0
    while place < len(ids):
        if place + 1 < len(ids) and (ids[place], ids[place + 1]) == pair:
            out.append(new)
            place += 2
        else:
            out.append(ids[place])
            place += 1
    return out
