"""One step: every token weighs the same, and nothing that is not finite moves the weights."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from training_parts import CONTEXT, model

from shizuku.errors import TrainingError
from shizuku.training.batches import TensorBatch
from shizuku.training.evaluation import evaluate
from shizuku.training.objectives import NextToken
from shizuku.training.step import accumulate_gradients, check_finite_step, clip_gradients

CPU = torch.device("cpu")


def batch(rows: int = 8) -> TensorBatch:
    """Rows of very unequal lengths, some with two documents, the rest padding."""
    generator = torch.Generator().manual_seed(0)
    ids_BT = torch.randint(300, (rows, CONTEXT), generator=generator)
    targets_BT = torch.randint(300, (rows, CONTEXT), generator=generator)
    lengths_B1 = torch.tensor([16, 2, 9, 1, 13, 16, 5, 3])[:rows, None]
    place_T = torch.arange(CONTEXT)
    second_BT = (place_T >= 6).long().expand(rows, CONTEXT)
    segments_BT = torch.where(place_T < lengths_B1, second_BT, -1)
    return TensorBatch(
        ids_BT, targets_BT, segments_BT >= 0, segments_BT, (place_T - 6 * second_BT).contiguous()
    )


def pieces(whole: TensorBatch, rows: int) -> list[TensorBatch]:
    """The batch in smaller ones of `rows` rows."""
    parts = {name: tensor.split(rows) for name, tensor in whole.tensors().items()}
    count = len(parts["ids_BT"])
    return [TensorBatch(**{name: part[i] for name, part in parts.items()}) for i in range(count)]


@pytest.mark.parametrize("rows", [1, 2, 4])
def test_accumulated_micro_batches_equal_one_batch(rows: int) -> None:
    results = []
    for batches in ([batch()], pieces(batch(), rows)):
        made = model()
        result = accumulate_gradients(made, NextToken(z_loss=1e-2), batches)
        results.append((result, [parameter.grad for parameter in made.parameters()]))
    (whole, whole_gradients), (split, split_gradients) = results
    assert whole.loss == pytest.approx(split.loss, rel=1e-6)
    assert whole.means == pytest.approx(split.means, rel=1e-6)
    assert whole.grad_norm == pytest.approx(split.grad_norm, rel=1e-6)
    for a, b in zip(whole_gradients, split_gradients, strict=True):
        assert a is not None and b is not None
        assert (a - b).abs().max() <= 1e-6 * whole.grad_norm


@pytest.mark.parametrize("tied", [True, False])
def test_gradients_equal_those_of_plain_cross_entropy(tied: bool) -> None:
    made, plain = model(tie_embeddings=tied), model(tie_embeddings=tied)
    given = batch()
    result = accumulate_gradients(made, NextToken(), [given])
    logits = plain(given.ids_BT, segments_BT=given.segments_BT, positions_BT=given.positions_BT)
    loss = F.cross_entropy(logits[given.mask_BT], given.targets_BT[given.mask_BT])
    loss.backward()
    assert result.loss == pytest.approx(loss.item(), rel=1e-6)
    for (name, a), b in zip(made.named_parameters(), plain.parameters(), strict=True):
        assert a.grad is not None and b.grad is not None
        assert (a.grad - b.grad).abs().max() <= 1e-6 * b.grad.norm(), name


def test_evaluation_has_no_regulariser() -> None:
    losses = [
        evaluate(model(), NextToken(z_loss=coefficient), [batch()], CPU)["loss"] for coefficient in (0.0, 1.0)
    ]
    assert losses[0] == losses[1]
    assert accumulate_gradients(model(), NextToken(z_loss=1.0), [batch()]).loss == pytest.approx(
        losses[0], rel=1e-6
    )


def test_evaluation_weighs_tokens_not_batches() -> None:
    whole = evaluate(model(), NextToken(), [batch()], CPU)["loss"]
    parts = evaluate(model(), NextToken(), pieces(batch(), 1), CPU)["loss"]
    assert parts == pytest.approx(whole, rel=1e-6)


def test_the_regulariser_pulls_the_normaliser_to_one() -> None:
    drift = {}
    for coefficient in (0.0, 0.1):
        made, given = model(), batch()
        optimizer = torch.optim.Adam(made.parameters(), lr=0.02)
        for _ in range(60):
            optimizer.zero_grad()
            accumulate_gradients(made, NextToken(coefficient), [given])
            optimizer.step()
        with torch.no_grad():
            logits = made(given.ids_BT, segments_BT=given.segments_BT, positions_BT=given.positions_BT)
        drift[coefficient] = float(logits[given.mask_BT].logsumexp(-1).abs().mean())
    assert drift[0.1] < 0.5 * drift[0.0]


def test_clipping_shortens_the_whole_gradient() -> None:
    made = model()
    norm = accumulate_gradients(made, NextToken(), [batch()]).grad_norm
    clip_gradients(made, norm, norm / 4)
    total = torch.stack([p.grad.norm() for p in made.parameters() if p.grad is not None]).norm()
    assert float(total) == pytest.approx(norm / 4, rel=1e-5)


@pytest.mark.parametrize("where", ["loss", "gradient"])
def test_what_is_not_finite_stops_the_run_and_saves_the_batch(where: str, tmp_path: Path) -> None:
    made, batches = model(), pieces(batch(), 4)
    with torch.no_grad():
        if where == "loss":
            made.final_norm.weight[0] = torch.nan
        else:
            made.embedding.weight[0] = 1e38  # finite in the forward pass's norm, infinite in the gradient's
    result = accumulate_gradients(made, NextToken(), batches)
    if where == "gradient":
        result = type(result)(loss=1.0, means={"next_token": 1.0}, grad_norm=float("inf"))
    with pytest.raises(TrainingError, match=r"step 7: .* (is nan|is inf).*bad-batch-step-7\.safetensors"):
        check_finite_step(result, 7, batches, tmp_path)
    saved = load_file(tmp_path / "bad-batch-step-7.safetensors")
    assert torch.equal(saved["1.ids_BT"], batches[1].ids_BT) and torch.equal(
        saved["0.mask_BT"], batches[0].mask_BT
    )


def test_nothing_to_learn_from_is_an_error() -> None:
    given = batch()
    masked = TensorBatch(given.ids_BT, given.targets_BT, torch.zeros_like(given.mask_BT))
    with pytest.raises(TrainingError, match="every token is masked"):
        accumulate_gradients(model(), NextToken(), [masked])
    with pytest.raises(TrainingError, match="validation"):
        evaluate(model(), NextToken(), [masked], CPU)


def test_an_empty_micro_batch_adds_nothing() -> None:
    given = batch()
    masked = TensorBatch(given.ids_BT, given.targets_BT, torch.zeros_like(given.mask_BT))
    alone = accumulate_gradients(model(), NextToken(), [given])
    assert accumulate_gradients(model(), NextToken(), [masked, given]) == alone


def test_targets_of_another_tokenizer_are_refused() -> None:
    given = batch()
    with pytest.raises(TrainingError, match="target id 320"):
        accumulate_gradients(
            model(), NextToken(), [TensorBatch(given.ids_BT, given.targets_BT * 0 + 320, given.mask_BT)]
        )
