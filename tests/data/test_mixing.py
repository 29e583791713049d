"""Batches mixed of several sources: rows as they were, padding that nothing sees, the same order again."""

from pathlib import Path

import numpy as np
import pytest
import torch

from shizuku.data.mixing import MixedBatches, stacked
from shizuku.data.packing import PackedBatches
from shizuku.data.shards import write_shards
from shizuku.errors import ConfigError
from shizuku.models.decoder import Decoder, DecoderConfig, initialise
from shizuku.text.documents import Document
from shizuku.text.tokenizer import Tokenizer
from shizuku.training.batches import on_device
from shizuku.training.objectives import NextToken
from shizuku.tuning.examples import Example
from shizuku.tuning.rows import ExampleRows

CONTEXT = 24


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> PackedBatches:
    words = [f"It was day {number}, and all {number % 7} of them were there." for number in range(60)]
    tokenizer = Tokenizer.train(words, 280)
    documents = [Document(id=str(number), text=one, source="a") for number, one in enumerate(words)]
    shards = write_shards(documents, tokenizer, tmp_path_factory.mktemp("shards") / "train")
    return PackedBatches(shards, context=CONTEXT, batch_size=2, seed=1)


def examples() -> ExampleRows:
    made = [Example([5, 6, *range(20, 24 + n % 5)], [False] * 4 + [True] * (2 + n % 5)) for n in range(20)]
    return ExampleRows(made, context=16, batch_size=3, seed=1)


def test_a_mixed_batch_has_the_loss_of_its_parts(text: PackedBatches) -> None:
    config = DecoderConfig(vocab_size=300, context=CONTEXT, width=32, layers=2, heads=2, ffn_width=64)
    model = Decoder(config).eval()
    initialise(model, 0)
    parts = [text.next(), examples().next()]
    assert parts[0].ids_BT.shape[1] > parts[1].ids_BT.shape[1]
    objective, cpu = NextToken(), torch.device("cpu")

    def total(batch: object) -> tuple[float, float]:
        on = on_device(batch, cpu)  # type: ignore[arg-type]
        with torch.no_grad():
            return sum(map(float, objective.loss(model, on).values())), sum(objective.counts(on).values())

    both = [total(part) for part in parts]
    mixed = total(stacked(parts))
    assert mixed[1] == both[0][1] + both[1][1]
    assert mixed[0] == pytest.approx(both[0][0] + both[1][0], rel=1e-5)


def test_it_goes_on_where_it_was(text: PackedBatches) -> None:
    mixed = MixedBatches([examples(), text])
    mixed.next()
    state = mixed.state_dict()
    expected = [mixed.next() for _ in range(3)]
    again = MixedBatches([examples(), text])
    again.load_state_dict(state)
    for one in expected:
        assert np.array_equal(one.ids_BT, again.next().ids_BT)
    with pytest.raises(ConfigError, match="2 sources"):
        MixedBatches([text]).load_state_dict(state)


def test_rows_without_segments_are_one_each(text: PackedBatches, tmp_path: Path) -> None:
    across = PackedBatches(text.shards, context=CONTEXT, batch_size=2, seed=1, boundaries=False)
    batch = stacked([across.next(), examples().next()])
    assert batch.segments_BT is not None and batch.positions_BT is not None
    assert (batch.segments_BT[:2] == 0).all()
    assert (batch.positions_BT[:2] == np.arange(CONTEXT)).all()
