"""Examples in rows: each alone, each once an epoch, in an order that a state decides; token-true losses."""

import copy

import numpy as np
import pytest
import torch

from shizuku.adapters.config import AdapterConfig
from shizuku.adapters.surgery import attach
from shizuku.errors import ConfigError, DocumentError
from shizuku.training.batches import on_device
from shizuku.training.objectives import NextToken
from shizuku.training.step import accumulate_gradients
from shizuku.tuning.examples import Example
from shizuku.tuning.rows import ExampleRows, HeldoutRows, shared_beginning
from tiny_language_model import tiny_model

CPU = torch.device("cpu")


def examples(number: int = 40, longest: int = 30, seed: int = 0) -> list[Example]:
    random = np.random.default_rng(seed)
    found = []
    for _ in range(number):
        length = int(random.integers(4, longest + 1))
        marks = random.random(length) < 0.5
        marks[-1] = True
        found.append(Example(random.integers(0, 400, length).tolist(), marks.tolist()))
    return found


def test_a_row_computes_what_its_examples_compute_alone() -> None:
    some, model, objective = examples(), tiny_model(), NextToken()
    packed = HeldoutRows(some, context=64, batch_size=4)
    alone = HeldoutRows(some, context=30, batch_size=1)
    assert len(packed.rows) < len(some) / 2 < len(alone.rows)

    def total(rows: HeldoutRows) -> tuple[float, int]:
        batches = [on_device(batch, CPU) for batch in rows]
        with torch.no_grad():
            sums = [objective.loss(model, batch)["next_token"].double().item() for batch in batches]
        return sum(sums), sum(objective.counts(batch)["next_token"] for batch in batches)

    one, other = total(packed), total(alone)
    assert one[1] == other[1] == sum(sum(example.learned[1:]) for example in some)
    assert one[0] == pytest.approx(other[0], rel=1e-5)


@pytest.mark.parametrize("adapted", [False, True])
def test_a_shared_beginning_is_computed_once_and_learned_from_as_often_as_it_stands(adapted: bool) -> None:
    random = np.random.default_rng(5)
    begin = random.integers(0, 400, 9).tolist()
    some = [
        Example([*begin, *one.ids], [False] * (len(begin) + 1) + list(one.learned)[1:])
        for one in examples(20, 16, seed=1)
    ]
    gradients, losses, seen = [], [], []
    for share in (True, False):
        model = tiny_model()
        if adapted:
            attach(model, AdapterConfig(rank=4), seed=3)
            for name, parameter in model.named_parameters():
                if name.endswith("b_OR"):
                    torch.nn.init.normal_(parameter, std=0.1, generator=torch.Generator().manual_seed(7))
        model.train()
        source = ExampleRows(some, context=64, batch_size=4, seed=0, share=share)
        assert source.examples.shared == (9 if share else 0)
        batches = [on_device(source.next(), CPU) for _ in range(source.rows_until(1.0) // 4)]
        if source.rows_until(1.0) % 4:
            rest = [source._row(row) for row in range(len(batches) * 4, source.rows_until(1.0))]
            batches.append(on_device(source.examples.batch(rest), CPU))
        losses.append(accumulate_gradients(model, NextToken(), batches).loss)
        gradients.append([p.grad for p in model.parameters() if p.grad is not None])
        seen.append(source.seen(source.rows_until(1.0)))
    assert seen[0].learned == seen[1].learned and seen[0].tokens < 0.8 * seen[1].tokens
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5 * float(other.abs().max()), rtol=0)


def test_what_is_shared_leads_to_nothing_that_is_learned() -> None:
    same = [5, 6, 7, 8]
    told = Example([*same, 1, 2], [False, False, False, True, True, True])
    asked = Example([*same, 3, 4], [False, False, False, False, False, True])
    assert shared_beginning([told, asked]) == 2  # 7, the third, is followed by a learned 8
    assert shared_beginning([asked, asked]) == 4
    assert shared_beginning([asked]) == 0
    assert shared_beginning([asked, Example([9, 6, 7], [False, False, True])]) == 0


def test_every_example_comes_once_an_epoch_and_processes_share_a_batch() -> None:
    some = [Example([number, 7, 8], [False, False, True]) for number in range(37)]
    source = ExampleRows(some, context=6, batch_size=1, seed=3)
    assert source.rows_until(1.0) == 13  # three to a row
    batches = [source.next() for _ in range(13)]
    real = [(b.positions_BT == 0) & (b.segments_BT >= 0) for b in batches]
    starts = [int(n) for b, here in zip(batches, real, strict=True) for n in b.ids_BT[here]]
    assert sorted(starts) == list(range(37)) and starts != sorted(starts)
    whole, parts = (ExampleRows(some, context=6, batch_size=4, seed=3) for _ in range(2))
    shares = [ExampleRows(some, context=6, batch_size=4, seed=3, rank=r, world=2) for r in range(2)]
    together = whole.next().ids_BT
    for rank, share in enumerate(shares):
        np.testing.assert_array_equal(share.next().ids_BT, together[rank::2])
    parts.next()
    state = copy.deepcopy(parts.state_dict())
    expected = [parts.next().ids_BT for _ in range(9)]  # into the next epoch
    resumed = ExampleRows(some, context=6, batch_size=4, seed=3)
    resumed.load_state_dict(state)
    for ids in expected:
        np.testing.assert_array_equal(resumed.next().ids_BT, ids)
    with pytest.raises(ConfigError, match="seed was 3"):
        ExampleRows(some, context=6, batch_size=4, seed=4).load_state_dict(state)


def test_pieces_of_unequal_length_weigh_as_in_one_batch() -> None:
    some = [*examples(3, 12, seed=1), *examples(1, 60, seed=2)]
    objective, gradients, losses = NextToken(), [], []
    for sizes in ((4,), (3, 1)):
        model = tiny_model()
        model.train()
        parts, at = [], 0
        for size in sizes:
            rows = HeldoutRows(some[at : at + size], context=60, batch_size=size)
            rows.rows = [[number] for number in range(size)]
            parts.append(on_device(next(iter(rows)), CPU))
            at += size
        losses.append(accumulate_gradients(model, objective, parts).loss)
        gradients.append([p.grad for p in model.parameters()])
    assert losses[0] == pytest.approx(losses[1], abs=1e-6)
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=0)


def test_smoothing_and_noise_are_for_training_alone() -> None:
    model, batch = tiny_model(), on_device(next(iter(HeldoutRows(examples(), context=64, batch_size=4))), CPU)
    plain, both = NextToken(), NextToken(label_smoothing=0.1, noise=5.0)
    assert both.loss(model, batch)["next_token"].equal(plain.loss(model, batch)["next_token"])
    assert float(both.loss(model, batch)["smoothing"]) == 0
    model.train()
    smooth = NextToken(label_smoothing=0.1)
    sums = smooth.loss(model, batch)
    logits = model(batch.ids_BT, segments_BT=batch.segments_BT, positions_BT=batch.positions_BT)
    expected = torch.nn.functional.cross_entropy(
        logits[batch.mask_BT], batch.targets_BT[batch.mask_BT], label_smoothing=0.1, reduction="sum"
    )
    assert (sums["next_token"] + 0.1 * sums["smoothing"]).item() == pytest.approx(expected.item(), rel=1e-5)
    torch.manual_seed(0)
    assert not both.loss(model, batch)["next_token"].equal(plain.loss(model, batch)["next_token"])


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(DocumentError, match="no example"):
        HeldoutRows([], context=4, batch_size=1)
    with pytest.raises(DocumentError, match="--too-long"):
        HeldoutRows([Example([1] * 9, [True] * 9)], context=4, batch_size=1)
    with pytest.raises(DocumentError, match="nothing to learn"):
        HeldoutRows([Example([1, 2], [True, False])], context=4, batch_size=1)
    with pytest.raises(ConfigError, match="--batch-size 3"):
        ExampleRows(examples(2), context=64, batch_size=3, seed=0, world=2)
