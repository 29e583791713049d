"""SentencePiece's two ways to cut a text, and WordPiece's, as plainly as they can be written."""

from collections.abc import Sequence

SPACE = "▁"


def spaced(text: str, space_first: bool) -> str:
    """The text with "▁" for spaces."""
    return (SPACE if space_first and text else "") + text.replace(" ", SPACE)


def merged_by_score(
    text: str, tokens: Sequence[str], types: Sequence[int], scores: Sequence[float], space_first: bool
) -> list[int]:
    """Merge the neighbours that make the entry of the highest score, the leftmost first; bytes for the
    rest.
    """
    ids = {token: i for i, token in enumerate(tokens) if types[i] in (1, 5)}
    every = {token: i for i, token in enumerate(tokens)}
    parts = list(spaced(text, space_first))
    while True:
        pairs = [(i, ids.get(parts[i] + parts[i + 1])) for i in range(len(parts) - 1)]
        pairs = [(i, token_id) for i, token_id in pairs if token_id is not None]
        if not pairs:
            break
        place, token_id = min(pairs, key=lambda pair: (-scores[pair[1]], pair[0]))
        parts[place : place + 2] = [tokens[token_id]]
    return [
        token_id
        for part in parts
        for token_id in ([ids[part]] if part in ids else [every[f"<0x{byte:02X}>"] for byte in part.encode()])
    ]


def most_probable(
    text: str, tokens: Sequence[str], types: Sequence[int], scores: Sequence[float], space_first: bool
) -> list[int]:
    """The segmentation of the highest sum of scores; a run of unknown characters is one unknown token."""
    ids = {token: i for i, token in enumerate(tokens) if types[i] in (1, 5)}
    unknown = types.index(2)
    penalty = min(scores[i] for i in ids.values()) - 10
    longest = max(map(len, ids))
    text = spaced(text, space_first)
    best: list[tuple[float, int, int]] = [(0.0, 0, unknown)]
    for end in range(1, len(text) + 1):
        found = [
            (best[start][0] + scores[ids[text[start:end]]], start, ids[text[start:end]])
            for start in range(max(0, end - longest), end)
            if text[start:end] in ids
        ]
        if not any(start == end - 1 for _, start, _ in found):
            found.append((best[end - 1][0] + penalty, end - 1, unknown))
        best.append(max(found, key=lambda way: (way[0], -way[1])))
    out: list[int] = []
    end = len(text)
    while end:
        _, start, token_id = best[end]
        if not (out and out[-1] == token_id == unknown):
            out.append(token_id)
        end = start
    return out[::-1]


def longest_first(word: str, vocabulary: dict[str, int], unknown: int) -> list[int]:
    """WordPiece: the longest entry from where the last one ended; a word that cannot be cut is unknown as a
    whole.
    """
    out: list[int] = []
    start = 0
    while start < len(word):
        prefix = "##" if start else ""
        end = next((e for e in range(len(word), start, -1) if prefix + word[start:e] in vocabulary), None)
        if end is None:
            return [unknown]
        out.append(vocabulary[prefix + word[start:end]])
        start = end
    return out
