"""Packed batches: every token a target once, borders respected, one order for any number of processes."""

import itertools
import json
import time
from pathlib import Path

import numpy as np
import pytest
from byte_corpus import ByteTokenizer, records

from shizuku.data.packing import Batch, PackedBatches, ValidationBatches, windows
from shizuku.data.shards import ShardSet, write_shards
from shizuku.errors import ConfigError, DocumentError

CONTEXT = 16


def corpus(directory: Path, *, documents: int = 40, **tokenizer: int | None) -> ShardSet:
    """Documents of 1 to 39 bytes; byte values count up from the document's number, so each is known."""
    lengths = np.random.default_rng(0).integers(1, 40, documents)
    texts = ["".join(chr((number + i) % 128) for i in range(length)) for number, length in enumerate(lengths)]
    return write_shards(records(texts), ByteTokenizer(**tokenizer), directory, shard_tokens=200)


def fields(batch: Batch) -> list[np.ndarray | None]:
    assert batch.types_BT is None, "rows of text have no pairs"
    return [getattr(batch, name) for name in Batch.__dataclass_fields__ if name != "types_BT"]


def same(one: Batch, two: Batch) -> bool:
    return all(
        (a is None and b is None) or np.array_equal(a, b)
        for a, b in zip(fields(one), fields(two), strict=True)
    )


def test_shapes_and_types(tmp_path: Path) -> None:
    batch = PackedBatches(corpus(tmp_path / "s"), context=CONTEXT, batch_size=4, seed=0).next()
    assert [field.dtype for field in fields(batch)] == [np.int64, np.int64, bool, np.int32, np.int64]
    assert {field.shape for field in fields(batch)} == {(4, CONTEXT)}


def naive_rows(shards: ShardSet, order: np.ndarray) -> list[tuple[list[int], list[int], list[int]]]:
    """Tokens, segments and positions of each window, by plain loops."""
    laid = [(token, number, i) for number in order for i, token in enumerate(shards.document(number))]
    rows = []
    for first in range(0, len(laid) - CONTEXT, CONTEXT):
        row = laid[first : first + CONTEXT + 1]
        numbers = list(dict.fromkeys(number for _, number, _ in row))
        segments = [numbers.index(number) for _, number, _ in row]
        positions = [segments[:at].count(segments[at]) for at in range(len(row))]
        rows.append(([token for token, _, _ in row], segments, positions))
    return rows


@pytest.mark.parametrize("eos", [256, 257])
def test_equals_plain_loops(tmp_path: Path, eos: int) -> None:
    shards = corpus(tmp_path / "s", eos_id=eos)
    source = PackedBatches(shards, context=CONTEXT, batch_size=1, seed=3)
    plan = source._plan(0)
    rows = naive_rows(shards, plan.documents)
    assert source.rows_per_epoch == len(rows)
    for window in plan.windows:
        tokens, segments, positions = rows[window]
        batch = source.next()
        assert batch.ids_BT[0].tolist() == tokens[:-1]
        assert batch.targets_BT[0].tolist() == tokens[1:]
        assert batch.segments_BT[0].tolist() == segments[:-1]
        assert batch.positions_BT[0].tolist() == positions[:-1]
        crosses = [a != b for a, b in itertools.pairwise(segments)]
        assert batch.mask_BT[0].tolist() == [eos == 256 or not cross for cross in crosses]


def test_an_epoch_is_every_window_once_and_epochs_differ(tmp_path: Path) -> None:
    shards = corpus(tmp_path / "s")
    source = PackedBatches(shards, context=CONTEXT, batch_size=1, seed=0)
    epochs = [
        np.concatenate([source.next().targets_BT for _ in range(source.rows_per_epoch)]) for _ in range(2)
    ]
    everything = np.sort(shards.take(np.arange(shards.tokens)))
    for epoch in epochs:
        counts = np.bincount(everything, minlength=259) - np.bincount(epoch.ravel(), minlength=259)
        assert counts.min() >= 0
        assert counts.sum() == shards.tokens - source.rows_per_epoch * CONTEXT < CONTEXT + 1
    assert not np.array_equal(*epochs)
    assert source.epoch == 2.0


@pytest.mark.parametrize("world", [2, 3])
def test_order_is_the_same_for_any_number_of_processes(tmp_path: Path, world: int) -> None:
    shards = corpus(tmp_path / "s")
    alone = PackedBatches(shards, context=CONTEXT, batch_size=6, seed=1)
    together = [
        PackedBatches(shards, context=CONTEXT, batch_size=6, seed=1, rank=r, world=world)
        for r in range(world)
    ]
    for _ in range(3 * alone.rows_per_epoch // 6):
        whole, parts = alone.next(), [source.next() for source in together]
        for rank, part in enumerate(parts):
            for mine, its in zip(fields(whole), fields(part), strict=True):
                assert np.array_equal(mine[rank::world], its)


def test_seed_decides_the_order(tmp_path: Path) -> None:
    shards = corpus(tmp_path / "s")
    one, again, other = (
        PackedBatches(shards, context=CONTEXT, batch_size=8, seed=seed).next() for seed in (0, 0, 1)
    )
    assert same(one, again)
    assert not same(one, other)


def test_resumes_exactly(tmp_path: Path) -> None:
    shards = corpus(tmp_path / "s")
    source = PackedBatches(shards, context=CONTEXT, batch_size=5, seed=0)
    for _ in range(source.rows_per_epoch // 5 + 1):  # into the second epoch
        source.next()
    state = json.loads(json.dumps(source.state_dict()))
    resumed = PackedBatches(ShardSet.open(tmp_path / "s"), context=CONTEXT, batch_size=5, seed=0)
    resumed.load_state_dict(state)
    for _ in range(10):
        assert same(source.next(), resumed.next())


def test_another_order_is_not_resumed(tmp_path: Path) -> None:
    shards = corpus(tmp_path / "s")
    state = PackedBatches(shards, context=CONTEXT, batch_size=5, seed=0).state_dict()
    with pytest.raises(ConfigError, match="seed was 0, is 1"):
        PackedBatches(shards, context=CONTEXT, batch_size=5, seed=1).load_state_dict(state)
    with pytest.raises(ConfigError, match="context was 16, is 8"):
        PackedBatches(shards, context=8, batch_size=5, seed=0).load_state_dict(state)
    with pytest.raises(ConfigError, match="cannot go on in the same order"):
        PackedBatches(
            corpus(tmp_path / "t", documents=39), context=CONTEXT, batch_size=5, seed=0
        ).load_state_dict(state)


def test_without_boundaries_only_the_mask_knows_them(tmp_path: Path) -> None:
    shards = corpus(tmp_path / "s")
    with_them = PackedBatches(shards, context=CONTEXT, batch_size=4, seed=0).next()
    without = PackedBatches(shards, context=CONTEXT, batch_size=4, seed=0, boundaries=False).next()
    assert without.segments_BT is None
    assert without.positions_BT is None
    assert np.array_equal(with_them.ids_BT, without.ids_BT)
    assert np.array_equal(with_them.mask_BT, without.mask_BT)


def test_a_document_longer_than_the_context_spans_windows(tmp_path: Path) -> None:
    shards = write_shards(records(["".join(map(chr, range(100)))]), ByteTokenizer(), tmp_path / "s")
    batches = PackedBatches(shards, context=10, batch_size=10, seed=0).next()
    assert (batches.segments_BT == 0).all()
    assert (batches.positions_BT == np.arange(10)).all()
    assert batches.mask_BT.all()


def test_rows_lead_back_to_records(tmp_path: Path) -> None:
    shards = corpus(tmp_path / "s")
    source = PackedBatches(shards, context=CONTEXT, batch_size=1, seed=0)
    texts = {shards.record_of(number): shards.document(number).tolist() for number in range(shards.documents)}
    for row in range(2 * source.rows_per_epoch):
        tokens = [*source.next().ids_BT[0].tolist()]
        pieces = "".join(map(chr, tokens)).split(chr(256))
        found = source.records(row)
        for record, piece in zip(reversed(found), reversed(pieces), strict=len(found) == len(pieces)):
            assert piece in "".join(map(chr, texts[record]))


@pytest.mark.parametrize("boundaries", [True, False])
def test_validation_scores_every_token_once(tmp_path: Path, boundaries: bool) -> None:
    shards = corpus(tmp_path / "s", documents=41)
    source = ValidationBatches(shards, context=CONTEXT, batch_size=3, boundaries=boundaries)
    batches = list(source)
    assert len(batches) == len(source)
    targets, real = [], []
    for batch in batches:
        segments = np.zeros_like(batch.ids_BT) if batch.segments_BT is None else batch.segments_BT
        assert not (batch.mask_BT & (segments == -1)).any()
        targets.append(batch.targets_BT.ravel())
        real.append(batch.mask_BT.ravel())
    everything = shards.take(np.arange(shards.tokens))
    laid, counted = np.concatenate(targets), np.concatenate(real)
    assert np.array_equal(laid[: shards.tokens - 1], everything[1:])
    assert np.array_equal(counted[: shards.tokens - 1], everything[1:] != 256)
    assert not counted[shards.tokens - 1 :].any()
    assert batches[-1].segments_BT is not None
    assert (batches[-1].segments_BT == -1).sum() == source.rows * CONTEXT - shards.tokens
    assert all(
        same(one, two)
        for one, two in zip(batches, windows(shards, CONTEXT, 3, boundaries=boundaries), strict=True)
    )


def test_bad_settings_say_what_to_change(tmp_path: Path) -> None:
    shards = write_shards(records(["short"]), ByteTokenizer(), tmp_path / "s")
    with pytest.raises(
        DocumentError, match=r"needs 9 tokens, the text has 7 in all; lower --context to 6 or less"
    ):
        PackedBatches(shards, context=8, batch_size=1, seed=0)
    with pytest.raises(ConfigError, match=r"--context"):
        PackedBatches(shards, context=0, batch_size=1, seed=0)
    with pytest.raises(ConfigError, match=r"--batch-size a multiple of 2"):
        PackedBatches(shards, context=4, batch_size=3, seed=0, rank=0, world=2)
    with pytest.raises(ConfigError, match=r"process 2 of 2"):
        PackedBatches(shards, context=4, batch_size=2, seed=0, rank=2, world=2)
    with pytest.raises(ConfigError, match=r"--seed"):
        PackedBatches(shards, context=4, batch_size=2, seed=-1)


def test_plans_of_many_documents_are_cheap(tmp_path: Path) -> None:
    """Two million documents: a plan in well under a second, a batch in milliseconds (bounds are wider)."""
    shards = corpus(tmp_path / "s")
    many = 2_000_000
    large = type(shards)(
        **{name: getattr(shards, name) for name in type(shards).__dataclass_fields__}
        | {
            "documents": many,
            "tokens": 7 * many,
            "offsets": np.arange(many + 1) * 7,
            "_files": (np.zeros(7 * many, dtype=np.uint16),),
            "_file_starts": np.array([0, 7 * many]),
        }
    )
    source = PackedBatches(large, context=512, batch_size=32, seed=0)
    began = time.perf_counter()
    source.next()
    planned = time.perf_counter()
    source.next()
    assert planned - began < 10
    assert time.perf_counter() - planned < 0.5


def test_before_the_first_row_nothing_was_seen(tmp_path: Path) -> None:
    source = PackedBatches(corpus(tmp_path / "s"), context=CONTEXT, batch_size=1, seed=0)
    assert list(source.pieces_seen(0)) == []


@pytest.mark.parametrize("rows", [1, 7, 1000])
def test_the_pieces_seen_are_the_inputs_of_the_rows_given_out(tmp_path: Path, rows: int) -> None:
    source = PackedBatches(corpus(tmp_path / "s"), context=CONTEXT, batch_size=1, seed=5)
    rows = min(rows, source.rows_per_epoch)
    inputs = np.concatenate([source.next().ids_BT[0] for _ in range(rows)])
    pieces = list(source.pieces_seen(rows))
    assert np.array_equal(np.sort(np.concatenate(pieces)), np.sort(inputs))
    start = source.shards.document_start_id
    assert all(start not in piece[1:] for piece in pieces), "a piece never crosses into the next document"
