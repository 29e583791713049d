"""The byte model against a dictionary and plain loops, the sum of its probabilities, and xz."""

import lzma
from collections import defaultdict

import numpy as np
import pytest

from shizuku.errors import DocumentError
from shizuku.evaluation import baselines
from shizuku.evaluation.baselines import ByteModel, order5_bits_per_byte, xz_bits_per_byte

WORDS = ["the", "cat", "sat", "on", "a", "mat", "and", "then", "that", "other", "猫が", "座った", "走る"]


def sentences(seed: int, number: int) -> list[bytes]:
    random = np.random.default_rng(seed)
    return [" ".join(random.choice(WORDS, random.integers(1, 30))).encode() for _ in range(number)]


class Dictionary:
    """Interpolated modified Kneser-Ney from the textbook definition, with sets and dictionaries."""

    def __init__(self, documents: list[bytes], order: int, discounts: list[np.ndarray]) -> None:
        self.order, self.discounts = order, discounts
        raw: defaultdict[tuple[int, ...], int] = defaultdict(int)
        before: defaultdict[tuple[int, ...], set[int]] = defaultdict(set)
        for document in documents:
            symbols = [256] * order + list(document)
            for end in range(order, len(symbols)):
                for length in range(1, order + 2):
                    gram = tuple(symbols[end - length + 1 : end + 1])
                    raw[gram] += 1
                    if length <= order:
                        before[gram].add(symbols[end - length])
        self.count = {
            gram: n if len(gram) == order + 1 or gram[0] == 256 else len(before[gram])
            for gram, n in raw.items()
        }

    def probability(self, context: tuple[int, ...], byte: int) -> float:
        shorter = self.probability(context[1:], byte) if context else 1 / 256
        after = [n for gram, n in self.count.items() if gram[:-1] == context]
        if not after:
            return shorter
        take = self.discounts[len(context)]
        count = self.count.get((*context, byte), 0)
        left = sum(take[min(n, 3)] for n in after)
        return (max(count - take[min(count, 3)], 0) + left * shorter) / sum(after)


@pytest.mark.parametrize("order", [0, 2, 5])
def test_equals_a_dictionary(order: int) -> None:
    train, heldout = sentences(0, 40), sentences(1, 2)
    model = ByteModel(train, order=order)
    slow = Dictionary(train, order, [level.discounts for level in model._levels])
    bits = 0.0
    for document in heldout:
        symbols = [256] * order + list(document[:40])
        for end in range(order, len(symbols)):
            bits -= np.log2(slow.probability(tuple(symbols[end - order : end]), symbols[end]))
    assert model.bits([document[:40] for document in heldout]) == pytest.approx(bits, rel=1e-12)


def test_discounts_are_chen_and_goodmans() -> None:
    counts = np.repeat([1, 2, 3, 4, 9], [50, 20, 10, 6, 4])
    share = 50 / 90
    expected = [0, 1 - 2 * share * 20 / 50, 2 - 3 * share * 10 / 20, 3 - 4 * share * 6 / 10]
    assert baselines._discounts(counts) == pytest.approx(expected)
    assert baselines._discounts(np.array([5, 6])) == pytest.approx(baselines.FALLBACK_DISCOUNTS)


def test_probabilities_sum_to_one() -> None:
    train = sentences(0, 60)
    model, text = ByteModel(train), b" ".join(train)
    random = np.random.default_rng(2)
    seen = [text[at : at + 5] for at in random.integers(0, len(text) - 5, 20)]
    unseen = [random.integers(0, 256, 5, dtype=np.uint8).tobytes() for _ in range(20)]
    for context in seen + unseen:
        distribution = model.distribution(context)
        assert distribution.min() > 0
        assert distribution.sum() == pytest.approx(1, abs=1e-9)
    for length in range(5):
        assert model.distribution(text[:length], at_start=True).sum() == pytest.approx(1, abs=1e-9)


def test_pieces_count_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    train, heldout = sentences(0, 30), sentences(1, 5)
    whole = order5_bits_per_byte(train, heldout)
    monkeypatch.setattr(baselines, "AT_ONCE", 17)
    assert order5_bits_per_byte(train, heldout) == pytest.approx(whole, rel=1e-12)


def test_documents_start_afresh() -> None:
    """The first byte is learned from first bytes; what the document before ended with says nothing."""
    model = ByteModel([b"ax", b"ay", b"az", b"aw"] * 20)
    assert model.distribution(b"", at_start=True)[ord("a")] > 0.9
    assert model.bits([b"ax", b"ay"]) == pytest.approx(model.bits([b"ax"]) + model.bits([b"ay"]))
    joined = ByteModel([b"axayazaw" * 20])
    assert joined.bits([b"axay"]) != pytest.approx(model.bits([b"axay"]))


def test_longer_context_helps_real_language() -> None:
    train, heldout = sentences(0, 300), sentences(1, 50)
    by_order = [order5_bits_per_byte(train, heldout, order=order) for order in (0, 1, 2, 5)]
    assert by_order == sorted(by_order, reverse=True)
    assert by_order[0] > 2 * by_order[-1]


def test_random_bytes_cost_eight_bits() -> None:
    random = np.random.default_rng(0)
    train, heldout = (random.integers(0, 256, size, dtype=np.uint8).tobytes() for size in (50_000, 5_000))
    assert 8 < order5_bits_per_byte(train, [heldout]) < 9
    assert 8 < xz_bits_per_byte([heldout]) < 8.3


def test_xz_is_preset_nine_and_priming_helps() -> None:
    heldout, train = sentences(1, 30), b"\n".join(sentences(0, 300))
    text = b"".join(heldout)
    assert xz_bits_per_byte(heldout) == 8 * len(lzma.compress(text, preset=9)) / len(text)
    added = len(lzma.compress(train + text, preset=9)) - len(lzma.compress(train, preset=9))
    assert xz_bits_per_byte(heldout, train) == 8 * added / len(text)
    assert xz_bits_per_byte(heldout, text) < 0.2 * xz_bits_per_byte(heldout)


def test_nothing_to_measure_is_said() -> None:
    with pytest.raises(DocumentError, match="no held-out text to measure"):
        order5_bits_per_byte(b"text", [b""])
    with pytest.raises(DocumentError, match=r"no text to learn from; give more of it \(--text\)"):
        order5_bits_per_byte(b"", [b"text"])
    with pytest.raises(ValueError, match="the order must be 0 to 6"):
        ByteModel([b"text"], order=7)
