"""IBM models 1 and 2: the textbook's numbers, what EM promises, and planted alignments found again."""

from dataclasses import replace
from itertools import pairwise, product

import numpy as np
import pytest

from shizuku.errors import ConfigError, ModelError
from shizuku.models.alignment import AlignmentModel
from shizuku.text.bitext import Bitext
from shizuku.training.counting.alignment import learn_alignment

TOY = Bitext(
    [["das", "Haus"], ["das", "Buch"], ["ein", "Buch"]], [["the", "house"], ["the", "book"], ["a", "book"]]
)


def probability(model: AlignmentModel, source: str, target: str) -> float:
    return dict(model.translations(source)).get(target, 0.0)


def test_the_textbook_example_iteration_by_iteration() -> None:
    """Koehn, Statistical Machine Translation, figure 4.4: t(the | das) and others after each iteration."""
    seen: list[tuple[float, float]] = []

    def note(number: int, model: AlignmentModel) -> None:
        seen.append((probability(model, "das", "the"), probability(model, "Haus", "house")))

    learn_alignment(TOY, iterations=(200, 0), null=False, on_iteration=note)
    assert [round(one, 4) for one, _ in seen[:3]] == [0.5, 0.6364, 0.7479]
    assert seen[9][1] == pytest.approx(0.917, abs=5e-4) and seen[199][1] == pytest.approx(0.997, abs=5e-4)


def test_model_1_finds_the_same_optimum_from_anywhere_and_never_gets_worse() -> None:
    bitext, _ = planted(200, seed=1)
    ends = [
        learn_alignment(bitext, iterations=(60, 0), start=np.random.default_rng(seed)).logprobs[-1]
        for seed in range(5)
    ]
    assert max(ends) - min(ends) < 1e-3 * abs(ends[0])
    for iterations in ((12, 0), (4, 8)):
        logprobs = learn_alignment(bitext, iterations=iterations).logprobs
        assert len(logprobs) == 13 and all(b >= a - 1e-9 * abs(a) for a, b in pairwise(logprobs))


def planted(count: int, *, seed: int, words: int = 60) -> tuple[Bitext, list[list[int]]]:
    """Sentences whose translation is word by word, the first half of the words after the second."""
    random = np.random.default_rng(seed)
    bitext, links = Bitext([], []), []
    for _ in range(count):
        length = int(random.integers(3, 9))
        source = [f"s{number}" for number in random.zipf(1.6, length) % words]
        order = [*range(length // 2, length), *range(length // 2)]
        bitext.source.append(source)
        bitext.target.append([source[place].replace("s", "t") for place in order])
        links.append(order)
    return bitext, links


def error_rate(model: AlignmentModel, bitext: Bitext, links: list[list[int]]) -> float:
    """AER where all links are sure: 1 less the F1 of the links."""
    right = found = 0
    for source, target, expected in zip(bitext.source, bitext.target, links, strict=True):
        aligned = model.align(source, target)
        right += sum(one == other for one, other in zip(aligned, expected, strict=True))
        found += sum(place >= 0 for place in aligned) + len(expected)
    return 1 - 2 * right / found


def test_planted_alignments_are_found_and_model_2_is_better_where_words_repeat() -> None:
    bitext, links = planted(1500, seed=0)
    one = error_rate(learn_alignment(bitext, iterations=(10, 0)).model, bitext, links)
    two = error_rate(learn_alignment(bitext, iterations=(5, 10)).model, bitext, links)
    assert two <= 0.05 and two < one - 0.05, (one, two)


def all_alignments(model: AlignmentModel, source: list[str], target: list[str]) -> tuple[float, np.ndarray]:
    """Probability of the target by adding up every alignment, and the shares that follow."""
    jumps = model.jumps
    assert jumps is not None
    chance_MI, t_JI = jumps.chances(len(source)), model.translation(*model.ids(source, target))
    total, share_JI = 0.0, np.zeros(t_JI.shape)
    for ways in product(range(len(source) + 1), repeat=len(target)):
        at, likely = 0, 1.0  # before the sentence
        for j, i in enumerate(ways):
            likely *= t_JI[j, i]
            likely *= jumps.null_share if i == 0 else (1 - jumps.null_share) * chance_MI[at, i - 1]
            at = i or at
        total += likely
        share_JI[np.arange(len(target)), list(ways)] += likely
    return total, share_JI / total


@pytest.mark.parametrize("null", [True, False])
def test_the_hidden_markov_model_adds_up_every_alignment_and_never_gets_worse(null: bool) -> None:
    bitext, _ = cut_anywhere(60, seed=3)
    learned = learn_alignment(bitext, iterations=(3, 0, 12), null=null)
    assert learned.model.kind == "hmm"
    assert all(b >= a - 1e-9 * abs(a) for a, b in pairwise(learned.logprobs[3:]))
    for source, target in list(zip(bitext.source, bitext.target, strict=True))[:6]:
        source, target = source[:4], target[:5]
        if np.isinf(learned.model.logprob(source, target)):
            continue
        total, share_JI = all_alignments(learned.model, source, target)
        assert learned.model.logprob(source, target) == pytest.approx(np.log(total), rel=1e-9)
        np.testing.assert_allclose(learned.model.shares(source, target), share_JI, atol=1e-12)
        assert (share_JI[:, 0] > 0).any() == null
    whole = sum(map(learned.model.logprob, bitext.source, bitext.target))
    assert whole == pytest.approx(learned.logprobs[-1], rel=1e-9), "batches count as sentences alone"


def cut_anywhere(count: int, *, seed: int) -> tuple[Bitext, list[list[int]]]:
    """Sentences of which two parts change places, cut anywhere: a place alone says little, a jump much."""
    random = np.random.default_rng(seed)
    bitext, links = Bitext([], []), []
    for _ in range(count):
        length = int(random.integers(5, 12))
        cut = int(random.integers(0, length))
        source = [f"s{number}" for number in random.zipf(1.6, length) % 60]
        order = [*range(cut, length), *range(cut)]
        bitext.source.append(source)
        bitext.target.append([source[place].replace("s", "t") for place in order])
        links.append(order)
    return bitext, links


def test_jumps_find_what_places_cannot() -> None:
    bitext, links = cut_anywhere(600, seed=0)
    two = error_rate(learn_alignment(bitext, iterations=(5, 10)).model, bitext, links)
    jumping = error_rate(learn_alignment(bitext, iterations=(5, 0, 10)).model, bitext, links)
    assert jumping <= 0.05 and jumping < two - 0.1, (two, jumping)


def test_jumps_go_on_where_nothing_comes_from_null_any_more() -> None:
    model = learn_alignment(Bitext([["a", "b"], ["a"]], [["x", "y"], ["x"]]), iterations=(5, 0, 400)).model
    assert model.jumps is not None and model.jumps.null_share < 1e-12
    assert np.isfinite(model.jumps.weight_W).all() and model.align(["a", "b"], ["x", "y"]) == [0, 1]


def test_a_word_never_seen_leaves_the_others_where_they_are() -> None:
    bitext, _ = cut_anywhere(300, seed=1)
    model = learn_alignment(bitext, iterations=(5, 0, 8)).model
    found = model.align(bitext.source[0], [*bitext.target[0], "never"])
    assert found[-1] == -1 and found[:-1] == model.align(bitext.source[0], bitext.target[0])
    assert model.logprob(bitext.source[0], ["never"]) == -np.inf


def test_probabilities_are_probabilities_and_unknown_words_have_none() -> None:
    bitext, _ = planted(300, seed=2)
    model = learn_alignment(bitext, iterations=(3, 3)).model
    totals = np.bincount(
        (model.pairs_N // np.uint64(len(model.target_words))).astype(int), model.translation_N
    )
    assert np.allclose(totals, 1, atol=1e-9)
    source, target = bitext.source[0], bitext.target[0]
    assert np.exp(model.logprob(source, target)) == pytest.approx(
        model.probabilities(*model.ids(source, target)).sum(1).prod()
    )
    assert model.align(["never"], ["seen"]) == [-1]
    assert model.logprob(["never"], ["seen"]) == -np.inf
    assert model.align(source, [*target, "never"])[-1] == -1
    with pytest.raises(ModelError, match="never seen"):
        model.translations("never")
    with pytest.raises(ModelError, match="one word on either side"):
        model.align([], ["x"])


def test_nonsense_is_refused() -> None:
    for wrong in ((0, 0), (0, 0, 0), (5,), (1, -1), (1, 1, 1, 1)):
        with pytest.raises(ConfigError, match=f"--iterations {' '.join(map(str, wrong))}: expected"):
            learn_alignment(TOY, iterations=wrong)
    with pytest.raises(ConfigError, match="201 words"):
        learn_alignment(Bitext([["a"] * 201], [["b"]]))


def test_a_word_called_null_is_a_word() -> None:
    bitext = Bitext([["NULL", "a"], ["NULL"]], [["nothing", "b"], ["nothing"]])
    model = learn_alignment(bitext, iterations=(20, 0), null=False).model
    assert model.align(["NULL", "a"], ["nothing", "b"]) == [0, 1]


def test_shares_are_numbers_where_every_word_was_learned_to_come_from_nothing() -> None:
    model = learn_alignment(Bitext([["a", "b"], ["a"]], [["x", "y"], ["x"]]), iterations=(5, 0, 3)).model
    assert model.jumps is not None
    sure = replace(model, jumps=replace(model.jumps, null_share=1.0))
    shares = sure.shares(["a", "b"], ["x", "y"])
    assert np.isfinite(shares).all() and shares.sum(1) == pytest.approx([1, 1])
