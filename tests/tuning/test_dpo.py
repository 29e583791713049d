"""DPO's loss against hand derivations, TRL and brute force; pairs in rows; the distance to the reference."""

import copy
import dataclasses
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from preference_pairs import encoded

from shizuku.adapters.config import AdapterConfig
from shizuku.adapters.surgery import attach
from shizuku.errors import ConfigError
from shizuku.models.decoder import Decoder
from shizuku.training.step import accumulate_gradients
from shizuku.tuning.dpo.config import DpoConfig
from shizuku.tuning.dpo.distance import Drawn, divergences
from shizuku.tuning.dpo.objective import Preference, preference_losses, side_scores
from shizuku.tuning.dpo.reference import table_scores
from shizuku.tuning.pair_examples import EncodedPair
from shizuku.tuning.pair_rows import HeldoutPairs, PairBatch, PairRows, PairTable
from tiny_language_model import tiny_model

KINDS = [
    DpoConfig(beta=0.3),
    DpoConfig(beta=0.3, label_smoothing=0.2),
    DpoConfig(beta=0.3, per="token"),
    DpoConfig(beta=0.3, loss="ipo"),
    DpoConfig(beta=0.3, loss="ipo", per="answer"),
]
NAMES = ["sigmoid", "smoothed", "sigmoid averaged", "ipo", "ipo of sums"]


def brute_logprob(model, side) -> torch.Tensor:
    """Log-probability of a side's answer, alone and without packing."""
    logits_TV = model(torch.tensor([side.ids[:-1]]))[0]
    logp_T = torch.log_softmax(logits_TV, -1).gather(1, torch.tensor(side.ids[1:])[:, None])[:, 0]
    return logp_T[torch.tensor(side.learned[1:])].sum()


def brute_loss(model, pairs: list[EncodedPair], reference_N2: np.ndarray, config: DpoConfig) -> torch.Tensor:
    """The mean loss with every formula written out anew."""
    losses = []
    for pair, reference in zip(pairs, reference_N2, strict=True):
        beyond = []
        for side, known in zip((pair.chosen, pair.rejected), reference, strict=True):
            ratio = brute_logprob(model, side) - float(known)
            beyond.append(ratio / sum(side.learned) if config.averaged else ratio)
        h = beyond[0] - beyond[1]
        if config.loss == "ipo":
            losses.append((h - 1 / (2 * config.beta)) ** 2)
        else:
            right = 1 / (1 + torch.exp(-config.beta * h))
            wrong = config.label_smoothing
            losses.append(-(1 - wrong) * right.log() - wrong * (1 - right).log())
    return torch.stack(losses).mean()


def table_of(pairs: list[EncodedPair], reference, context: int = 64) -> PairTable:
    table = PairTable(pairs, context=context)
    table.reference_N2 = table_scores(reference, table).logprobs_N2
    return table


def gradients(model) -> dict[str, torch.Tensor]:
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def test_losses_are_those_that_paper_and_pencil_give() -> None:
    h = torch.tensor([2.0])
    # log(1 + e^-0.2) and log(1 + e^0.2)
    right, wrong = 0.598138869, 0.798138869
    assert preference_losses(h, DpoConfig(beta=0.1)).item() == pytest.approx(right)
    smoothed = preference_losses(h, DpoConfig(beta=0.1, label_smoothing=0.1)).item()
    assert smoothed == pytest.approx(0.9 * right + 0.1 * wrong)
    assert preference_losses(h, DpoConfig(beta=0.1, loss="ipo")).item() == pytest.approx((2.0 - 5.0) ** 2)
    assert preference_losses(torch.zeros(1), DpoConfig()).item() == pytest.approx(math.log(2))
    # The optimum of the smoothed loss is where the model believes as much as the labels deserve.
    best = torch.tensor([math.log(0.9 / 0.1) / 0.1], requires_grad=True)
    preference_losses(best, DpoConfig(beta=0.1, label_smoothing=0.1)).sum().backward()
    assert abs(best.grad.item()) < 1e-7


@pytest.mark.parametrize("config", KINDS, ids=NAMES)
def test_packed_pairs_have_the_loss_and_gradient_of_each_side_alone(config) -> None:
    pairs, model, reference = encoded(), tiny_model(), tiny_model(seed=1)
    table = table_of(pairs, reference)
    with torch.no_grad():
        alone = [[float(brute_logprob(reference, s)) for s in (p.chosen, p.rejected)] for p in pairs]
    np.testing.assert_allclose(table.reference_N2, alone, rtol=1e-5)
    batch = table.batch(range(len(pairs)))
    assert batch.shape[0] < len(pairs), "several sides share a row"
    step = accumulate_gradients(model, Preference(config), [batch])
    packed = gradients(model)
    model.zero_grad()
    expected = brute_loss(model, pairs, table.reference_N2, config)
    expected.backward()
    assert step.loss == pytest.approx(expected.item(), rel=1e-5)
    plain = gradients(model)
    assert packed.keys() == plain.keys()
    for name, gradient in plain.items():
        scale = gradient.abs().max().item()
        torch.testing.assert_close(packed[name], gradient, rtol=1e-3, atol=1e-4 * scale)


def test_the_gradient_is_that_of_finite_differences() -> None:
    pairs, model = encoded(4), tiny_model().double()
    table = PairTable(pairs, context=64)
    table.reference_N2 = np.random.default_rng(0).normal(-20, 1, (4, 2)).astype(np.float32)
    batch, objective = table.batch(range(4)), Preference(DpoConfig(beta=0.5, label_smoothing=0.1))
    objective.loss(model, batch)["preference"].backward()
    step = 1e-5
    for name, parameter in model.named_parameters():
        direction = torch.randn(
            parameter.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0)
        )
        values = []
        for sign in (1, -1):
            with torch.no_grad():
                parameter += sign * step * direction
                values.append(objective.loss(model, batch)["preference"].item())
                parameter -= sign * step * direction
        measured = (values[0] - values[1]) / (2 * step)
        assert measured == pytest.approx((parameter.grad * direction).sum().item(), rel=1e-3, abs=1e-5), name


def test_pieces_of_unequal_size_weigh_as_one_batch() -> None:
    pairs = encoded(7, seed=3)
    found = []
    for parts in ([range(7)], [range(5), range(5, 7)]):
        model = tiny_model()
        table = table_of(pairs, tiny_model(seed=1))
        step = accumulate_gradients(model, Preference(DpoConfig()), [table.batch(part) for part in parts])
        found.append((step, gradients(model)))
    assert found[0][0].loss == pytest.approx(found[1][0].loss, rel=1e-6)
    assert found[0][0].means == pytest.approx(found[1][0].means, rel=1e-5)
    for name, gradient in found[0][1].items():
        torch.testing.assert_close(found[1][1][name], gradient, rtol=1e-4, atol=1e-6)


def test_a_step_says_rewards_margin_and_accuracy() -> None:
    pairs, model = encoded(9), tiny_model()
    table = table_of(pairs, tiny_model(seed=1))
    config = DpoConfig(beta=0.2)
    means = accumulate_gradients(model, Preference(config), [table.batch(range(9))]).means
    rewards = config.beta * (table_scores(model, table).logprobs_N2 - table.reference_N2)
    # Means may lie near zero, so what is compared with is by how much rewards differ.
    near = 1e-5 * float(rewards.std())
    assert means["chosen_reward"] == pytest.approx(rewards[:, 0].mean(), abs=near)
    assert means["rejected_reward"] == pytest.approx(rewards[:, 1].mean(), abs=near)
    assert means["margin"] == pytest.approx((rewards[:, 0] - rewards[:, 1]).mean(), abs=near)
    assert means["accuracy"] == pytest.approx((rewards[:, 0] > rewards[:, 1]).mean())
    assert 0 < means["accuracy"] < 1


@pytest.mark.parametrize("kind", ["once", "each"])
def test_with_an_adapter_the_reference_is_the_model_without_it(kind) -> None:
    pairs, model = encoded(6), tiny_model()
    plain = copy.deepcopy(model)
    attach(model, AdapterConfig(rank=2))
    table = table_of(pairs, model)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.requires_grad and name.endswith("b_OR"):
                parameter.normal_(0, 0.5, generator=torch.Generator().manual_seed(1))
    if kind == "each":
        table.reference_N2 = None
    step = accumulate_gradients(
        model, Preference(DpoConfig(beta=0.3, reference=kind)), [table.batch(range(6))]
    )
    expected = brute_loss(model, pairs, table_scores(plain, table).logprobs_N2, DpoConfig(beta=0.3))
    assert step.loss == pytest.approx(expected.item(), rel=1e-5)
    assert all(("pairs" in name) == (p.grad is not None) for name, p in model.named_parameters())
    with pytest.raises(ConfigError, match="no log-probabilities of a reference"):
        table.reference_N2 = None
        Preference(DpoConfig()).loss(model, table.batch([0]))


def _padded(pairs: list[EncodedPair]) -> dict[str, torch.Tensor]:
    """The pairs as TRL lays them out: chosen sides, then rejected ones, padded behind."""
    sides = [pair.chosen for pair in pairs] + [pair.rejected for pair in pairs]
    shape = len(sides), max(len(side.ids) for side in sides)
    found = {
        name: torch.zeros(shape, dtype=torch.int64)
        for name in ("input_ids", "attention_mask", "completion_mask")
    }
    for row, side in enumerate(sides):
        size = len(side.ids)
        found["input_ids"][row, :size] = torch.tensor(side.ids)
        found["attention_mask"][row, :size] = 1
        found["completion_mask"][row, :size] = torch.tensor(side.learned).long()
    return found


class _AsTransformers:
    """A decoder under the call and the outputs that TRL's trainer takes."""

    def __init__(self, model: Decoder) -> None:
        self.model, self.training = model, True

    def __call__(self, input_ids, attention_mask, labels, **rest) -> SimpleNamespace:
        logits_BTV = self.model(input_ids, segments_BT=attention_mask - 1)[:, :-1]
        shifted_BT = labels[:, 1:]
        logp_BTV = torch.log_softmax(logits_BTV, -1)
        logp_BT = logp_BTV.gather(-1, shifted_BT.clamp_min(0)[..., None])[..., 0] * (shifted_BT >= 0)
        nothing = torch.zeros_like(logp_BT)
        return SimpleNamespace(
            log_probs=logp_BT, entropy=nothing, mean_logits=nothing, is_top1=nothing.bool(), loss=None
        )


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sigmoid", "ipo", "sigmoid_norm"])
def test_loss_and_gradient_are_those_of_trl(kind) -> None:
    trl = pytest.importorskip("trl")
    from collections import defaultdict

    pairs, model, reference = encoded(5), tiny_model(), tiny_model(seed=1)
    table = table_of(pairs, reference)
    inputs = _padded(pairs)
    for name, side in (("chosen", 0), ("rejected", 1)):
        inputs[f"ref_{name}_logps"] = torch.from_numpy(table.reference_N2[:, side].copy())
    trainer = trl.DPOTrainer.__new__(trl.DPOTrainer)
    gather = SimpleNamespace(device=torch.device("cpu"), gather=lambda x: x, gather_for_metrics=lambda x: x)
    for name, value in {
        "accelerator": gather, "model": _AsTransformers(model), "aux_loss_enabled": False, "ld_alpha": None,
        "precompute_ref_logps": True, "f_divergence_type": "reverse_kl", "loss_types": [kind],
        "loss_weights": [1.0], "beta": 0.3, "label_smoothing": 0.0, "use_weighting": False,
        "_metrics": {"train": defaultdict(list)}, "_total_train_tokens": 0, "_tp_size": 1,
    }.items():  # fmt: skip
        setattr(trainer, name, value)
    theirs = trainer._compute_loss(trainer.model, inputs, return_outputs=False)
    theirs.backward()
    expected = gradients(model)
    model.zero_grad()
    config = DpoConfig(
        beta=0.3, loss="ipo" if kind == "ipo" else "sigmoid", per="token" if "norm" in kind else "auto"
    )
    step = accumulate_gradients(model, Preference(config), [table.batch(range(5))])
    assert step.loss == pytest.approx(theirs.item(), rel=1e-5)
    for name, gradient in gradients(model).items():
        scale = expected[name].abs().max().item()
        torch.testing.assert_close(gradient, expected[name], rtol=1e-3, atol=1e-4 * scale)
    logged = trainer._metrics["train"]
    if kind == "sigmoid":
        assert step.means["margin"] == pytest.approx(logged["rewards/margins"][0], rel=1e-4)
        assert step.means["accuracy"] == pytest.approx(logged["rewards/accuracies"][0])


def test_every_pair_comes_once_an_epoch_and_a_state_goes_on() -> None:
    table = PairTable(encoded(13), context=64)

    def source(**changes) -> PairRows:
        return PairRows(table, **{"batch_size": 4, "seed": 3, "task": {"beta": 0.1}, **changes})

    first = [source().numbers(13 * epoch, 13) for epoch in range(2)]
    assert sorted(first[0]) == sorted(first[1]) == list(range(13)) and first[0] != first[1]
    whole, parts = source(), source()
    parts.next()
    state = copy.deepcopy(parts.state_dict())
    whole.next()
    resumed = source()
    resumed.load_state_dict(state)
    for _ in range(6):  # into the second epoch
        same_batch(resumed.next(), whole.next())
    shares = [source(rank=rank, world=2) for rank in range(2)]
    assert [share.next().pairs for share in shares] == [2, 2]
    for wrong, name in (({"seed": 4}, "seed"), ({"task": {"beta": 0.2}}, "beta")):
        with pytest.raises(ConfigError, match=f"{name} was"):
            source(**wrong).load_state_dict(state)


def same_batch(one: PairBatch, other: PairBatch) -> None:
    for name, tensor in one.tensors().items():
        assert torch.equal(tensor, other.tensors()[name]), name


def test_rows_leave_little_room_unused_and_hold_every_side_whole() -> None:
    pairs = encoded(64, longest=60, seed=5)
    table = PairTable(pairs, context=256)
    for first in range(0, 64, 8):
        numbers = list(range(first, first + 8))
        batch = table.batch(numbers)
        assert (batch.segments_BT < 0).float().mean() < 0.1, "of the room"
        for place, number in enumerate(numbers):
            for side, example in enumerate((pairs[number].chosen, pairs[number].rejected)):
                here = batch.sides_BT == 2 * place + side
                assert batch.ids_BT[here].tolist() == example.ids[:-1]
                assert batch.targets_BT[here].tolist() == example.ids[1:]
                assert batch.mask_BT[here].tolist() == example.learned[1:]
                assert batch.positions_BT[here].tolist() == list(range(len(example.ids) - 1))
    seen = PairRows(table, batch_size=8, seed=0).seen(64)
    assert seen.tokens == table.sizes.sum() and seen.learned == table.answer_tokens.sum()
    assert seen.tokens / seen.room > 0.9
    held = HeldoutPairs(table, batch_size=8)
    assert sorted(number for batch in held.numbers() for number in batch) == list(range(64))
    assert len(list(held)) == len(held) == 8


def test_the_distance_is_the_divergence_of_whole_answers() -> None:
    config = dataclasses.replace(tiny_model().config, vocab_size=4)
    models = []
    for seed in (0, 1):
        model = Decoder(config).eval()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.normal_(
                    1 if parameter.dim() == 1 else 0, 0.3, generator=torch.Generator().manual_seed(seed)
                )
        models.append(model)
    prompt = [3, 1, 2]
    answers = [Drawn(prompt, [a, b, c], "", False) for a in range(4) for b in range(4) for c in range(4)]

    def logprobs(model) -> torch.Tensor:
        found = []
        for answer in answers:
            logits_TV = model(torch.tensor([[*prompt, *answer.ids[:-1]]]))[0, 2:].double()
            found.append(torch.log_softmax(logits_TV, -1)[range(3), answer.ids].sum())
        return torch.stack(found)

    with torch.no_grad():
        logp, logq = map(logprobs, models)
    assert logp.exp().sum().item() == pytest.approx(1)
    exact = (logp.exp() * (logp - logq)).sum().item()
    each = divergences(models[0], models[1], answers)
    assert (each >= 0).all() and exact > 0.05
    # The mean over the model's own answers, here over all of them by their probability.
    assert float(logp.exp().numpy() @ each) == pytest.approx(exact, rel=1e-5)
    adapted = copy.deepcopy(models[0])
    attach(adapted, AdapterConfig(rank=2))
    assert divergences(adapted, None, answers[:3]) == pytest.approx([0, 0, 0], abs=1e-9)


def test_settings_that_mean_nothing_are_refused() -> None:
    for wrong, says in (
        ({"beta": 0.0}, "--dpo.beta"),
        ({"label_smoothing": 0.5}, "--dpo.label-smoothing 0.5"),
        ({"loss": "ipo", "label_smoothing": 0.1}, "is of the sigmoid loss"),
    ):
        with pytest.raises(ConfigError, match=says):
            DpoConfig(**wrong)
    assert side_scores(tiny_model(), PairTable(encoded(2), context=64).batch([1])).tokens_P2.shape == (1, 2)
