"""A layer of experts against loops over tokens, and in company, with too little room, and with none to do."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from peers import randomise
from torch import Tensor

from shizuku.errors import ConfigError
from shizuku.models.decoder import Decoder, DecoderConfig, initialise
from shizuku.models.layers.experts import Experts, watched

SHAPE: dict[str, Any] = {
    "vocab_size": 61, "context": 24, "width": 16, "layers": 2, "heads": 2, "ffn_width": 20, "qk_norm": True,
}  # fmt: skip
SPARSE = DecoderConfig(**SHAPE, experts=5, experts_per_token=2, expert_width=12)
KINDS = {
    "plain": {},
    "not normalised": {"normalise_experts": False, "experts_per_token": 3},
    "one each": {"experts_per_token": 1, "normalise_experts": False},
    "all of them": {"experts_per_token": 5},
    "sigmoid, biased, shared": {
        "router_score": "sigmoid", "router_bias": True, "shared_experts": 2, "expert_multiplier": 1.5
    },
    "not gated, with biases": {"gated": False, "mlp_bias": True, "activation": "relu2"},
}  # fmt: skip


def layer(config: DecoderConfig, seed: int = 0) -> Experts:
    made = Experts(config)
    randomise(made, seed)
    return made


def token_by_token(made: Experts, config: DecoderConfig, x_ND: Tensor) -> Tensor:
    """What the layer is by its definition."""
    rows = []
    for x_D in x_ND:
        logits_E = made.router.weight @ x_D
        scores_E = logits_E.softmax(0) if config.router_score == "softmax" else logits_E.sigmoid()
        bias_E = made.router.choice_bias
        ranked_E = scores_E if bias_E is None else scores_E + bias_E
        best = sorted(range(config.experts), key=lambda e: -float(ranked_E[e].detach()))[
            : config.experts_per_token
        ]
        total = sum(scores_E[e] for e in best) if config.normalise_experts else 1.0
        out_D = 0 if made.shared is None else made.shared(x_D)
        for e in best:
            weight = scores_E[e] / total * config.expert_multiplier
            out_D = out_D + weight * made.experts[str(e)](x_D)
        rows.append(out_D)
    return torch.stack(rows)


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_what_a_loop_over_tokens_gives_with_gradients(kind: str) -> None:
    config = replace(SPARSE, **KINDS[kind])
    made, x_ND = layer(config), torch.randn(23, 16, generator=torch.Generator().manual_seed(1))
    found: dict[str, list[Tensor]] = {}
    for name, compute in {"fast": made, "slow": lambda x: token_by_token(made, config, x)}.items():
        x = x_ND.clone().requires_grad_()
        y = compute(x)
        made.zero_grad()
        (y * torch.linspace(-1, 1, y.numel()).view_as(y)).sum().backward()
        grads = [p.grad if p.grad is not None else torch.zeros_like(p) for p in made.parameters()]
        assert x.grad is not None
        found[name] = [y.detach(), x.grad, *(grad.clone() for grad in grads)]
    for fast, slow in zip(found["fast"], found["slow"], strict=True):
        scale = slow.std() if slow.numel() > 1 else slow.abs()
        assert float((fast - slow).abs().max()) <= 2e-5 * max(float(scale), 1e-3)


def test_one_expert_is_the_dense_decoder_bit_for_bit() -> None:
    dense, one = DecoderConfig(**SHAPE), DecoderConfig(**SHAPE, experts=1, experts_per_token=1)
    first, second = Decoder(dense), Decoder(one)
    initialise(first, 0)
    initialise(second, 1)
    named = {
        name.replace("feedforward.", "feedforward.experts.0."): weight
        for name, weight in first.state_dict().items()
    }
    second.load_state_dict({**second.state_dict(), **named})
    ids_BT = torch.randint(61, (3, 17), generator=torch.Generator().manual_seed(2))
    outputs = [model(ids_BT) for model in (first, second)]
    assert torch.equal(outputs[0], outputs[1])
    for output in outputs:
        output.logsumexp(-1).sum().backward()
    grads = {name: parameter.grad for name, parameter in second.named_parameters()}
    for name, parameter in first.named_parameters():
        own = grads[name.replace("feedforward.", "feedforward.experts.0.")]
        assert own is not None and torch.equal(own, parameter.grad), name  # type: ignore[arg-type]


def test_experts_without_tokens_do_no_harm() -> None:
    made = layer(replace(SPARSE, router_bias=True))
    assert made.router.choice_bias is not None
    made.router.choice_bias[[0, 3, 4]] = -2.0
    x_ND = torch.randn(9, 16, requires_grad=True)
    with watched(made) as seen:
        made(x_ND).sum().backward()
    assert set(seen[0].chosen_NC.unique().tolist()) == {1, 2}
    for name, parameter in made.named_parameters():
        assert parameter.grad is not None and torch.isfinite(parameter.grad).all(), name
        if name.startswith(("experts.0", "experts.3", "experts.4")):
            assert not parameter.grad.any(), name
    with torch.no_grad():
        assert made(x_ND[:0]).shape == (0, 16) and torch.isfinite(made(x_ND[:1])).all()


@torch.no_grad()
def test_company_padding_and_cache_change_nothing() -> None:
    model = Decoder(replace(SPARSE, capacity_factor=0.5)).eval()
    randomise(model)
    ids_BT = torch.randint(61, (3, 20), generator=torch.Generator().manual_seed(3))
    alone = [model(ids_BT[row : row + 1, : 20 - 3 * row]) for row in range(3)]
    segments_BT = torch.zeros_like(ids_BT)
    for row in range(3):
        segments_BT[row, 20 - 3 * row :] = -1
    padded = model(ids_BT, segments_BT=segments_BT)
    state = model.new_state(1, 20)
    steps = torch.cat([model(ids_BT[:1, :5], state=state)] + [
        model(ids_BT[:1, t : t + 1], state=state) for t in range(5, 20)
    ], dim=1)  # fmt: skip
    for row in range(3):
        assert float((padded[row, : 20 - 3 * row] - alone[row][0]).abs().max() / alone[row].std()) < 2e-5
    assert float((steps - alone[0]).abs().max() / alone[0].std()) < 2e-5


def test_experts_without_room_drop_the_last_and_the_second_choices_first() -> None:
    config = replace(SPARSE, capacity_factor=0.6, normalise_experts=False)
    made, x_ND = layer(config).train(), torch.randn(30, 16, generator=torch.Generator().manual_seed(4))
    padding_N = torch.arange(30) >= 25
    with watched(made, padding_N) as seen:
        y_ND = made(x_ND)
    room, taken = 6, dict.fromkeys(range(5), 0)  # 0.6 of 25 · 2 / 5
    dropped = torch.zeros(30, 2, dtype=torch.bool)
    expected_ND = torch.zeros_like(x_ND)
    _, scores_NE, chosen_NC, _ = made.router(x_ND)
    for choice in range(2):
        for token in range(25):
            expert = int(chosen_NC[token, choice])
            taken[expert] += 1
            if taken[expert] > room:
                dropped[token, choice] = True
            else:
                expected_ND[token] += scores_NE[token, expert] * made.experts[str(expert)](x_ND[token])
    assert dropped.any() and torch.equal(seen[0].dropped_NC, dropped)
    torch.testing.assert_close(y_ND, expected_ND, rtol=1e-4, atol=1e-5)
    with watched(made.eval()) as seen:
        made(x_ND)
    assert not seen[0].dropped_NC.any()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"experts_per_token": 6}, "experts_per_token is 6; it must be between 1 and experts, 5"),
        ({"experts": -1}, "experts, shared_experts and expert_width must be at least 0"),
        ({"sparse_layers": (True,)}, "sparse_layers has 1 entries for 2 layers"),
        ({"sparse_layers": (False, False)}, "no layer with experts"),
        ({"experts": 0, "router_bias": True}, "router_bias and expert_width need experts"),
        ({"router_score": "tanh"}, "router_score is 'tanh'"),
        ({"capacity_factor": 0.0}, "capacity_factor must be above 0"),
        ({"balance_coefficient": -0.1}, "balance_coefficient is -0.1"),
    ],
)
def test_contradictions_are_refused(changes: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        replace(SPARSE, **changes)
