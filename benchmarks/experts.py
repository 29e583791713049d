"""A layer of experts beside one dense product of the same size, and beside transformers' on the same weights.

    python benchmarks/experts.py [--tokens 2048] [--width 128] [--expert-width 176] [--experts 8] [--chosen 2]

Processor time of a forward and of a forward and backward pass, the fastest of several, on one thread: other
programs disturb it least so. The dense layer is as wide as a token's experts together. transformers' block is
Mixtral's, a loop over experts (its other way, grouped_mm, is printed where it runs here).
"""

import argparse
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from shizuku.models.decoder_config import DecoderConfig
from shizuku.models.layers.experts import Experts
from shizuku.models.layers.feedforward import FeedForward


def theirs(made: Any, config: DecoderConfig, how: str) -> nn.Module:
    """Mixtral's block with the weights of our layer."""
    from transformers import MixtralConfig
    from transformers.models.mixtral.modeling_mixtral import MixtralSparseMoeBlock

    settings: dict[str, Any] = {"experts_implementation": how}
    there = MixtralConfig(
        hidden_size=config.width, intermediate_size=config.expert_width, num_local_experts=config.experts,
        num_experts_per_tok=config.experts_per_token, **settings,
    )  # fmt: skip
    block: Any = MixtralSparseMoeBlock(there)
    with torch.no_grad():
        block.gate.weight.copy_(made.router.weight)
        for number, expert in made.experts.items():
            gate_up = torch.cat([expert.gate.weight, expert.up.weight])
            block.experts.gate_up_proj[int(number)].copy_(gate_up)
            block.experts.down_proj[int(number)].copy_(expert.down.weight)
    found: nn.Module = block
    return found


def seconds(act: Callable[[], object], rounds: int) -> float:
    """The fastest of several calls."""
    act()
    best = float("inf")
    for _ in range(rounds):
        start = time.process_time()
        act()
        best = min(best, time.process_time() - start)
    return best


def main() -> None:
    """Measure and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, value in {"tokens": 2048, "width": 128, "expert-width": 176, "experts": 8, "chosen": 2}.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--rounds", type=int, default=10)
    given = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    hidden = given.expert_width * given.chosen
    config = DecoderConfig(
        vocab_size=1, context=1, width=given.width, layers=1, heads=1, ffn_width=hidden,
        experts=given.experts, experts_per_token=given.chosen, expert_width=given.expert_width,
    )  # fmt: skip
    layers: dict[str, nn.Module] = {
        "dense": FeedForward(given.width, hidden, activation="silu", gated=True, bias=False),
        "experts": Experts(config),
    }
    for how in ("eager", "grouped_mm"):
        layers[f"transformers, {how}"] = theirs(layers["experts"], config, how)
    x_BTD = torch.randn(1, given.tokens, given.width, requires_grad=True)
    expected = layers["experts"](x_BTD)

    def both(layer: nn.Module) -> Tensor:
        y_BTD: Tensor = layer(x_BTD)
        y_BTD.sum().backward()
        return y_BTD

    print("| layer | forward, ms | forward and backward, ms | of dense |\n|---|---|---|---|")
    dense = None
    for name, layer in layers.items():
        try:
            with torch.no_grad():
                y_BTD = layer(x_BTD)
                forward = seconds(lambda layer=layer: layer(x_BTD), given.rounds)  # type: ignore[misc]
            whole = seconds(lambda layer=layer: both(layer), given.rounds)  # type: ignore[misc]
        except (RuntimeError, ValueError) as error:
            print(f"| {name} | does not run: {str(error).splitlines()[0][:60]} | | |")
            continue
        if "transformers" in name:
            torch.testing.assert_close(y_BTD, expected, rtol=1e-3, atol=1e-5)
        dense = dense or whole
        print(f"| {name} | {1e3 * forward:.1f} | {1e3 * whole:.1f} | {whole / dense:.2f} |", flush=True)


if __name__ == "__main__":
    main()
