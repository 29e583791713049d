"""The gated delta rule's forms on this machine, and what a training step of the network costs.

    python benchmarks/delta_rule.py [--threads 1] [--rounds 5]

Milliseconds of processor time, the fastest of the rounds: of the rule alone, forward and backward, by tokens
of a chunk, beside token by token; of the same through a whole model of a preset, beside decoders of the same
name; and of one token generated, by the engine's runtime in torch.
"""

import argparse
import time
from collections.abc import Callable

import torch
from torch import Tensor

from shizuku.inference.recurrent_runtime import RecurrentRuntime
from shizuku.inference.runtime import Span
from shizuku.models.architectures import architecture, build
from shizuku.models.decoder_config import DecoderConfig
from shizuku.models.layers.delta_rule import DeltaInput, chunked, sequential
from shizuku.training.presets import PRESETS

SHAPES = [(8, 2, 256, 32, 64), (8, 6, 256, 32, 64)]
"""Rows, heads, tokens, features of keys and of values."""
CHUNKS = (16, 32, 64, 128)
NAMES = ("tiny", "mini")
VOCABULARY, ROWS = 2048, 8


def fastest(act: Callable[[], object], rounds: int) -> float:
    """Milliseconds of processor time of the fastest of some rounds, after one that does not count."""
    act()
    taken = []
    for _ in range(rounds):
        begun = time.process_time()
        act()
        taken.append(time.process_time() - begun)
    return 1000 * min(taken)


def inputs(batch: int, heads: int, tokens: int, keys: int, values: int) -> list[Tensor]:
    """Random inputs of the rule that want gradients."""
    q, k = (torch.nn.functional.normalize(torch.randn(batch, heads, tokens, keys), dim=-1) for _ in range(2))
    v, fade = torch.randn(batch, heads, tokens, values), -torch.rand(batch, heads, tokens)
    return [x.requires_grad_() for x in (q, k, v, fade, torch.rand(batch, heads, tokens))]


def rule(shape: tuple[int, ...], chunk: int | None, rounds: int) -> float:
    """Milliseconds of the rule with its gradients; chunk None is token by token."""
    tensors = inputs(*shape)

    def act() -> None:
        given = DeltaInput(*tensors)
        answers, _ = sequential(given) if chunk is None else chunked(given, chunk=chunk)
        torch.autograd.grad(answers.sum(), tensors)

    return fastest(act, rounds)


def step(name: str, preset: str, rounds: int) -> float:
    """Milliseconds of forward and backward of a model on packed rows of three documents each."""
    if name == "decoder":
        config = DecoderConfig(vocab_size=VOCABULARY, **PRESETS[preset])  # type: ignore[index]
    else:
        config = architecture(name).config(vocab_size=VOCABULARY, **architecture(name).presets[preset])
    model = build(config)
    architecture(name).initialise(model, 0)
    ids_BT = torch.randint(VOCABULARY, (ROWS, config.context))
    segments_BT = (torch.arange(config.context) * 3 // config.context).expand_as(ids_BT)

    def act() -> None:
        model.zero_grad(set_to_none=True)
        model.hidden(ids_BT, segments_BT=segments_BT).square().mean().backward()

    return fastest(act, rounds)


def token(preset: str, rounds: int, tokens: int = 32) -> float:
    """Milliseconds of a token that is read by itself, as in generation."""
    found = architecture("recurrent")
    model = build(found.config(vocab_size=VOCABULARY, **found.presets[preset]))
    found.initialise(model, 0)
    runtime = RecurrentRuntime(model)
    runtime.reserve(1)

    def act() -> None:
        for place in range(tokens):
            runtime.forward([Span([place], place, [0])])

    return fastest(act, rounds) / tokens


def main() -> None:
    """Print two Markdown tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    torch.manual_seed(0)
    print(f"| rows x heads x tokens x K x E | {' | '.join(f'chunks of {c}' for c in CHUNKS)} | tokens |")
    print("|---" * (len(CHUNKS) + 2) + "|")
    for shape in SHAPES:
        cells = [f"{rule(shape, chunk, given.rounds):.1f}" for chunk in (*CHUNKS, None)]
        print(f"| {' x '.join(map(str, shape))} | {' | '.join(cells)} |", flush=True)
    print("\n| preset | decoder, ms | recurrent, ms | a token, ms |\n|---|---|---|---|")
    for preset in NAMES:
        cells = [f"{step(name, preset, given.rounds):.0f}" for name in ("decoder", "recurrent")]
        cells.append(f"{token(preset, given.rounds):.1f}")
        print(f"| {preset} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
