"""n-gram models: counts against plain Python, sums to one, each smoothing against its definition by hand."""

import math
from collections import Counter, defaultdict

import numpy as np
import pytest

from ngram_parts import METHODS, START, VOCAB, Documents, documents, grams, model
from shizuku.errors import ConfigError, DocumentError, ModelError
from shizuku.models.ngram import Level, NGramModel
from shizuku.training.counting.counts import count_ngrams
from shizuku.training.counting.from_text import parted
from shizuku.training.counting.smoothing import FALLBACK_DISCOUNTS, smooth


def spelled(model_or_counts: list[np.ndarray]) -> list[list[tuple[int, ...]]]:
    """The n-grams of each length as tuples, from the numbers that stand for them."""
    found = [[(token,) for token in range(VOCAB)]]
    for keys in model_or_counts[1:]:
        found.append([(*found[-1][int(key) // VOCAB], int(key) % VOCAB) for key in keys])
    return found


@pytest.mark.parametrize("limits", [{}, {"piece": 40, "in_memory": 25}], ids=["at once", "in many files"])
def test_counts_are_those_of_plain_python(limits) -> None:
    lines = documents()
    found = count_ngrams(Documents(lines), order=4, vocab_size=VOCAB, **limits)
    names = spelled([one.keys_N for one in found])
    for length, (counts, gram) in enumerate(zip(found, names, strict=True), start=1):
        seen = {name: int(count) for name, count in zip(gram, counts.counts_N, strict=True) if count}
        assert seen == grams(lines, length)
        assert gram == sorted(gram)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_probabilities_sum_to_one_behind_any_history(method: str, order: int) -> None:
    lines = documents()
    made, random = model(method, order, lines), np.random.default_rng(2)
    for number in range(1000):
        line = lines[random.integers(len(lines))]
        history = line[: random.integers(1, len(line))] if number % 2 else random.integers(0, VOCAB, 5)
        logprobs = made.next_logprobs(history)
        assert abs(np.exp(logprobs).sum() - 1) < 1e-9
        assert logprobs[START] == -math.inf and np.isfinite(np.delete(logprobs, START)).all()


@pytest.mark.parametrize("method", METHODS)
def test_a_text_is_scored_as_token_by_token(method: str) -> None:
    made = model(method, 4, documents())
    for line in documents(20, seed=5):
        scored = made.logprobs(np.array(line))
        alone = [made.next_logprobs(line[:at])[line[at]] for at in range(1, len(line))]
        assert scored[1:] == pytest.approx(alone, abs=1e-12)


@pytest.mark.parametrize("order", [1, 2, 4])
def test_rows_of_many_tokens_are_those_of_each_alone(order: int) -> None:
    made, line = model("kneser-ney", order, documents()), np.array(documents(1, seed=6)[0])
    alone = np.stack([made.next_logprobs(line[: end + 1]) for end in range(len(line))]).astype(np.float32)
    for first in range(len(line) + 1):
        assert np.array_equal(made.logits(line, first=first), alone[first:])


def test_kneser_ney_is_the_published_recursion() -> None:
    lines, order = documents(), 3
    made = model("kneser-ney", order, lines)
    raw = {length: grams(lines, length) for length in range(1, order + 1)}
    adjusted: dict[int, dict[tuple[int, ...], int]] = {order: dict(raw[order])}
    for length in range(1, order):
        before = defaultdict(set)
        for gram in raw[length + 1]:
            before[gram[1:]].add(gram[0])
        adjusted[length] = {g: c if g[0] == START else len(before[g]) for g, c in raw[length].items()}
    adjusted[1][(START,)] = 0

    def discount(length: int, count: int) -> float:
        n = [sum(value == size for value in adjusted[length].values()) for size in range(5)]
        y = n[1] / (n[1] + 2 * n[2])
        sizes = [0.0, *(size - (size + 1) * y * n[size + 1] / n[size] for size in (1, 2, 3))]
        valid = all(0 < sizes[size] < size for size in (1, 2, 3))
        return (sizes if valid else list(FALLBACK_DISCOUNTS))[min(count, 3)]

    def probability(history: tuple[int, ...], token: int) -> float:
        length = len(history) + 1
        table = adjusted[length]
        behind = {gram: count for gram, count in table.items() if gram[:-1] == history and count}
        shorter = 1 / (VOCAB - 1) if length == 1 else probability(history[1:], token)
        total = sum(behind.values())
        if not total:
            return shorter
        left = sum(min(count, discount(length, count)) for count in behind.values()) / total
        count = behind.get((*history, token), 0)
        return max(count - discount(length, count), 0) / total + left * shorter

    random = np.random.default_rng(3)
    for _ in range(40):
        line = lines[random.integers(len(lines))]
        at = random.integers(1, len(line))
        history, token = tuple(line[max(0, at - 2) : at]), int(random.integers(1, VOCAB))
        expected = probability(history, token)
        assert made.next_logprobs(history)[token] == pytest.approx(math.log(expected), abs=1e-9)


def test_add_k_is_its_formula_and_jelinek_mercer_is_between_its_parts() -> None:
    lines = documents()
    made = model("add-k", 2, lines, k=0.5)
    pairs, singles = grams(lines, 2), grams([line[:-1] for line in lines], 1)
    for history, token in ((5, 9), (7, 1), (0, 4), (39, 39)):
        expected = (pairs[history, token] + 0.5) / (singles[history,] + 0.5 * (VOCAB - 1))
        assert made.next_logprobs([history])[token] == pytest.approx(math.log(expected), abs=1e-12)
    mixed, single = model("jelinek-mercer", 2, lines), model("jelinek-mercer", 1, lines)
    for history, token in ((5, 9), (7, 1), (0, 4)):
        likeliest = pairs[history, token] / singles[history,]
        found = math.exp(mixed.next_logprobs([history])[token])
        low, high = sorted((likeliest, math.exp(single.next_logprobs([])[token])))
        assert low <= found <= high


def test_katz_discounts_small_counts_and_leaves_large_ones_alone() -> None:
    random, ranks = np.random.default_rng(0), np.arange(1, VOCAB - 1)
    zipf = ranks**-0.7 / (ranks**-0.7).sum()
    lines = [[START, *(1 + random.choice(ranks, 7, p=zipf)).tolist(), 1] for _ in range(120)]
    made = model("katz", 2, lines)
    pairs, singles = grams(lines, 2), grams([line[:-1] for line in lines], 1)
    kept = defaultdict(list)
    for (history, token), count in pairs.items():
        kept[min(count, 6)].append(
            math.exp(made.next_logprobs([history])[token]) / (count / singles[history,])
        )
    numbers = Counter(pairs.values())
    beyond = 6 * numbers[6] / numbers[1]
    assert max(kept) == 6 and numbers[6] > 2, "so that there is something to estimate"
    for count in range(1, 6):
        expected = ((count + 1) * numbers[count + 1] / numbers[count] / count - beyond) / (1 - beyond)
        assert np.median(kept[count]) == pytest.approx(expected, abs=1e-9)
    assert np.median(kept[6]) == pytest.approx(1.0, abs=1e-9)


def test_better_smoothing_and_longer_context_are_better_on_text_of_the_same_kind() -> None:
    lines, other = documents(2000), documents(200, seed=7)

    def perplexity(method: str, order: int) -> float:
        made = model(method, order, lines)
        return float(np.exp(-np.concatenate([made.logprobs(np.array(one))[1:] for one in other]).mean()))

    found = {method: perplexity(method, 2) for method in METHODS}
    assert found["kneser-ney"] < found["add-k"] < perplexity("kneser-ney", 1)


def test_what_makes_no_model_is_refused() -> None:
    with pytest.raises(DocumentError, match="no token to count"):
        count_ngrams(Documents([[], []]), order=2, vocab_size=5)
    with pytest.raises(DocumentError, match="outside the vocabulary"):
        count_ngrams(Documents([[1, 5]]), order=2, vocab_size=5)
    with pytest.raises(ConfigError, match="--order 0"):
        count_ngrams(Documents([[1]]), order=0, vocab_size=5)
    counts = count_ngrams(Documents([[0, 1]]), order=2, vocab_size=5)
    with pytest.raises(ConfigError, match="held-out text"):
        smooth(counts, "jelinek-mercer", vocab_size=5, start=None)
    with pytest.raises(ConfigError, match="--add 0"):
        smooth(counts, "add-k", vocab_size=5, start=None, k=0)
    made = smooth(counts, "kneser-ney", vocab_size=5, start=None)
    with pytest.raises(ModelError, match="outside the model's vocabulary"):
        made.logprobs(np.array([1, 9]))
    one = Level(np.arange(3, dtype=np.uint64), np.zeros(3))
    with pytest.raises(ModelError, match="not sorted"):
        NGramModel([one, Level(np.array([4, 4], dtype=np.uint64), np.zeros(2))])
    with pytest.raises(ModelError, match="goes on from one that is not"):
        NGramModel([one, Level(np.array([9], dtype=np.uint64), np.zeros(1))])


@pytest.mark.parametrize("lengths", [[5] * 100, [900, 60], [3]], ids=["many", "a novel", "next to nothing"])
def test_a_twentieth_weighs_and_the_rest_is_counted_though_documents_be_few(lengths: list[int]) -> None:
    texts = Documents(
        [list(range(1000 * number, 1000 * number + size)) for number, size in enumerate(lengths)]
    )
    sides = [
        [int(one) for number in range(side.documents) for one in side.document(number)]
        for side in parted(texts)
    ]
    everything = [int(one) for number in range(texts.documents) for one in texts.document(number)]
    assert sorted(sides[0] + sides[1]) == sorted(everything)
    if sum(lengths) > 3:
        assert 0.03 < len(sides[1]) / len(everything) < 0.08


def test_words_shorter_than_the_order_are_counted_in_several_pieces() -> None:
    lines = [[2, 3, 4]] * 40
    found = count_ngrams(Documents(lines), order=5, vocab_size=VOCAB, piece=30)
    assert [int(one.counts_N.sum()) for one in found] == [120, 80, 40, 0, 0]


def test_held_out_weights_are_estimated_on_very_little_text() -> None:
    some, rest = (count_ngrams(Documents(lines), order=5, vocab_size=VOCAB) for lines in ([[2, 3]], [[3]]))
    made = smooth(some, "jelinek-mercer", vocab_size=VOCAB, start=START, heldout=rest)
    assert abs(np.exp(made.next_logprobs([2])).sum() - 1) < 1e-9
