"""Rows with hidden tokens: exact shares, no control token ever, pairs as their labels say, resumable."""

from pathlib import Path

import numpy as np
import pytest

from shizuku.data.masked_rows import FOLLOWS, MaskedRows, MaskedValidation, Vocabulary, hide
from shizuku.data.shards import ShardSet, write_shards
from shizuku.errors import ConfigError, TokenizerError
from shizuku.text.documents import Document
from shizuku.text.tokenizer import Tokenizer

WORDS = [f"w{a}{b}" for a in "abcdefgh" for b in "klmnopqr"]
TOKENIZER = Tokenizer.train([" ".join([*WORDS, "."]) * 3], 95, kind="wordpiece")


def corpus(folder: Path, *, documents: int = 40, sentences: int = 12, seed: int = 0) -> ShardSet:
    """Documents of random sentences; each begins with a word that says its number."""
    random = np.random.default_rng(seed)
    found = []
    for number in range(documents):
        lines = [
            " ".join([WORDS[number], *random.choice(WORDS, random.integers(3, 9))]) + " ."
            for _ in range(sentences)
        ]
        found.append(Document(id=f"{number:016x}", text=" ".join(lines), source="test"))
    return write_shards(found, TOKENIZER, folder / "shards")


def rows(shards: ShardSet, **changed: object) -> MaskedRows:
    return MaskedRows(shards, TOKENIZER, **{"context": 64, "batch_size": 8, "seed": 3, **changed})


def test_shares_are_those_of_bert_by_chi_square() -> None:
    vocabulary = Vocabulary.of(TOKENIZER)
    random = np.random.default_rng(5)
    words = np.flatnonzero(~vocabulary.control_V)
    targets = random.choice(words, 200_000)
    ids, chosen = hide(targets, vocabulary, np.random.Generator(np.random.Philox(1)))
    assert (ids[~chosen] == targets[~chosen]).all()
    fates = np.array(
        [
            (~chosen).sum(),
            (ids[chosen] == vocabulary.marks.mask).sum(),
            ((ids != targets) & (ids != vocabulary.marks.mask)).sum(),
            (ids == targets)[chosen].sum(),
        ]
    )
    same = 1 / len(words)  # another token, drawn from all words, may be the same one
    shares = np.array([0.85, 0.15 * 0.8, 0.15 * 0.1 * (1 - same), 0.15 * 0.1 * (1 + same)])
    expected = shares * len(targets)
    assert ((fates - expected) ** 2 / expected).sum() < 16.27  # 3 degrees of freedom, p = 0.001
    others = ids[(ids != targets) & (ids != vocabulary.marks.mask)]
    expected = len(others) / len(words)
    spread = ((np.bincount(others, minlength=len(ids[:1]) + 200)[words] - expected) ** 2 / expected).sum()
    freedom = len(words) - 1
    assert abs(spread - freedom) < 3.3 * (2 * freedom) ** 0.5


def test_marks_and_padding_are_never_asked_for(tmp_path: Path) -> None:
    source = rows(corpus(tmp_path))
    for _ in range(20):
        batch = source.next()
        asked = batch.targets_BT[batch.mask_BT]
        assert not np.isin(asked, list(TOKENIZER.control)).any()
        assert not batch.mask_BT[batch.segments_BT == -1].any()
        unchanged = ~batch.mask_BT
        assert (batch.ids_BT[unchanged] == batch.targets_BT[unchanged]).all()


@pytest.mark.parametrize("negatives", ["random", "same-document"])
def test_pairs_are_what_their_labels_say(negatives: str, tmp_path: Path) -> None:
    shards = corpus(tmp_path, sentences=30)
    source = rows(shards, negatives=negatives)
    places = {tuple(shards.document(d)[a : a + 5]): (d, a) for d in range(40) for a in range(400)}
    labels = []
    for _ in range(30):
        batch = source.next()
        for row, at, stranger in zip(batch.pair_rows_P, batch.pair_places_P, batch.strangers_P, strict=True):
            own = batch.segments_BT[row] == batch.segments_BT[row, at]
            ids, types = batch.targets_BT[row, own], batch.types_BT[row, own]
            assert ids[0] == TOKENIZER.cls_id and ids[-1] == TOKENIZER.sep_id
            first, second = ids[1:][types[1:] == 0], ids[types == 1]
            assert first[-1] == TOKENIZER.sep_id and (ids == TOKENIZER.sep_id).sum() == 2
            assert (batch.positions_BT[row, own] == np.arange(len(ids))).all()
            first, second = first[:-1], second[:-1]
            labels.append(stranger)
            if len(first) < 5 or len(second) < 5:
                continue
            (d, a), (e, b) = places[tuple(first[:5])], places[tuple(second[:5])]
            if stranger == FOLLOWS:
                assert (d, a + len(first)) == (e, b)
            else:
                assert (d == e) == (negatives == "same-document") and (d, a + len(first)) != (e, b)
    assert abs(np.mean(labels) - 0.5) < 2.6 / len(labels) ** 0.5


def test_every_token_is_in_exactly_one_passage_that_follows_or_was_replaced(tmp_path: Path) -> None:
    shards = corpus(tmp_path)
    single = rows(shards, pairs=False)
    seen = np.zeros(TOKENIZER.vocab_size, dtype=int)
    for batch in single.once():
        real = (batch.segments_BT >= 0) & ~np.isin(batch.targets_BT, [TOKENIZER.cls_id, TOKENIZER.sep_id])
        seen += np.bincount(batch.targets_BT[real], minlength=len(seen))
        assert not len(batch.strangers_P) and not batch.types_BT.any()
    whole = np.concatenate([shards.document(n) for n in range(shards.documents)])
    assert (seen == np.bincount(whole, minlength=len(seen))).all()


def test_resumed_and_shared_batches_are_the_same(tmp_path: Path) -> None:
    shards = corpus(tmp_path)
    source, shared = rows(shards), [rows(shards, share=(rank, 2)) for rank in range(2)]
    per_epoch = source.rows_per_epoch // 8
    for number in range(2 * per_epoch + 2):
        if number == per_epoch:
            again = rows(shards)
            again.load_state_dict(source.state_dict())
        batch = source.next()
        halves = [one.next() for one in shared]
        for rank, half in enumerate(halves):
            assert (half.ids_BT == batch.ids_BT[rank::2]).all()
        if number >= per_epoch:
            assert (again.next().ids_BT == batch.ids_BT).all()
    first, other = (next(iter(rows(shards, seed=seed).once())) for seed in (3, 4))
    assert not np.array_equal(first.ids_BT, other.ids_BT)


def test_validation_is_the_same_every_time(tmp_path: Path) -> None:
    validation = MaskedValidation(rows(corpus(tmp_path)), tokens=1024)
    first, again = (list(validation) for _ in range(2))
    assert len(first) == len(again) >= 2
    assert all((a.ids_BT == b.ids_BT).all() for a, b in zip(first, again, strict=True))


def test_what_cannot_be_is_refused(tmp_path: Path) -> None:
    shards = corpus(tmp_path)
    with pytest.raises(ConfigError, match="at least 8 tokens"):
        rows(shards, context=4)
    with pytest.raises(ConfigError, match="multiple of 3"):
        rows(shards, share=(0, 3))
    other = rows(shards, seed=9)
    with pytest.raises(ConfigError, match="seed was 9"):
        rows(shards).load_state_dict(other.state_dict())
    with pytest.raises(TokenizerError, match="--vocabulary wordpiece"):
        Vocabulary.of(Tokenizer.train(["some words"] * 3, 269))


def test_padding_is_never_asked_for_whatever_its_id() -> None:
    vocabulary = Vocabulary.of(TOKENIZER)
    word, real_T = int(vocabulary.words[0]), np.arange(4000) < 1000
    ids_T, chosen_T = hide(np.full(4000, word), vocabulary, np.random.default_rng(0), real_T=real_T)
    assert chosen_T[:1000].any() and not chosen_T[1000:].any() and (ids_T[1000:] == word).all()
