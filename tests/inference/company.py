"""300 prompts, 64 new tokens each, in companies of several kinds; run by `test_company.py`.

In a process of its own: where pytest checks the shapes of every call, this takes a quarter of an hour.
`python company.py native KIND CACHE [PROMPTS]` and `python company.py torch` fail where an answer differs.
"""

import random
import sys

import numpy as np
import torch
from engine_models import GREEDY, SAMPLED, VOCABULARY, asked, micro, nothing_is_held

from shizuku.inference.engine import Engine, EngineSettings, Step
from shizuku.inference.native import NativeRuntime
from shizuku.inference.runtime import Runtime
from shizuku.inference.sampling import SamplingConfig
from shizuku.inference.torch_runtime import TorchRuntime
from shizuku.models.decoder import Decoder
from shizuku.quantization.packed import PackedTensor

PROMPTS, NEW_TOKENS = 300, 64
COMPANIES = {
    "all in order": EngineSettings(running=300, waiting=300),
    "few at a time, in pieces": EngineSettings(running=5, waiting=300, prefill_tokens=7, shared_tokens=3),
    "short of room": EngineSettings(running=40, waiting=300, cache_tokens=640, shared_tokens=30),
    "guessing": EngineSettings(running=3, waiting=300, speculative_tokens=5),
}


def prompts() -> list[list[int]]:
    """Of 1 to 60 tokens, some of which begin alike."""
    dice = random.Random(3)
    beginnings = [[dice.randrange(VOCABULARY) for _ in range(40)] for _ in range(4)]
    return [
        [*dice.choice([[], *beginnings])[: dice.randrange(40)]]
        + [dice.randrange(VOCABULARY) for _ in range(dice.randrange(1, 20))]
        for _ in range(PROMPTS)
    ]


def answers(
    runtime: Runtime, settings: EngineSettings, *, order: list[int], sampling: SamplingConfig | None = None
) -> dict[int, list[Step]]:
    """What each prompt gets, every second one sampled; `order` are those asked for, in that order."""
    engine, asked_for = Engine(runtime, settings), prompts()
    tickets = {
        n: engine.submit(
            asked(
                asked_for[n],
                NEW_TOKENS,
                sampling=sampling or (GREEDY, SAMPLED)[n % 2],
                index=n,
                logprobs=0,
                client=str(n % 7),
            )
        )
        for n in order
    }
    found = {n: list(ticket) for n, ticket in tickets.items()}
    assert nothing_is_held(engine)
    return found


def shuffled(seed: int) -> list[int]:
    order = list(range(PROMPTS))
    random.Random(seed).shuffle(order)
    return order


# ---- native


def in_eight_bits(matrix: np.ndarray) -> PackedTensor:
    """GGUF's Q8_0: 32 numbers as one float16 scale and 32 bytes."""
    rows, columns = matrix.shape
    groups = matrix.reshape(rows, columns // 32, 32)
    scales = (np.abs(groups).max(-1, keepdims=True) / 127).astype(np.float16)
    bytes_ = np.rint(groups / scales.astype(np.float32)).astype(np.int8)
    packed = np.concatenate([scales.view(np.uint8), bytes_.view(np.uint8)], axis=-1)
    return PackedTensor("q8_0", (rows, columns), np.ascontiguousarray(packed.reshape(rows, -1)))


def packed(model: Decoder, kind: str) -> dict[str, PackedTensor]:
    found = {}
    for name, tensor in model.state_dict().items():
        matrix = np.ascontiguousarray(tensor.numpy().reshape(-1, tensor.shape[-1]))
        if kind == "q8_0" and tensor.dim() == 2 and matrix.shape[1] % 32 == 0:
            found[name] = in_eight_bits(matrix)
        else:
            found[name] = PackedTensor("f32", matrix.shape, matrix.view(np.uint8))
    return found


def native(kind: str, cache: str) -> NativeRuntime:
    model = micro()
    return NativeRuntime(model.config, packed(model, kind), threads=1, cache=cache)  # type: ignore[arg-type]


def native_answers_are_the_same(kind: str, cache: str, count: int) -> None:
    """To the last bit: tokens, and the log-probabilities that they had."""
    alone, settings, runtime = {}, EngineSettings(running=1), native(kind, cache)
    for n in range(count):
        alone |= answers(runtime, settings, order=[n])
    assert sum(len(steps) for steps in alone.values()) == count * NEW_TOKENS
    for company in COMPANIES:
        order = [n for n in shuffled(len(company)) if n < count]
        found = answers(native(kind, cache), COMPANIES[company], order=order)
        for n in order:
            assert found[n] == alone[n], f"{kind}, {cache}, {company}: prompt {n}"


# ---- torch


def torch_answers_differ_only_where_the_best_two_are_tied() -> None:
    """And then by less than 1e-4."""
    model = micro()
    first = answers(
        TorchRuntime(model), COMPANIES["all in order"], order=list(range(PROMPTS)), sampling=GREEDY
    )
    check_greedy(model, first)
    others = [name for name in COMPANIES if name != "all in order"]
    for company in others:
        # The cramped and the careful take many more steps: they get a third of the prompts, in another order.
        order = shuffled(len(company))[: PROMPTS // 3]
        found = answers(TorchRuntime(model, block_tokens=8), COMPANIES[company], order=order, sampling=GREEDY)
        for n in order:
            one, other = ([step.token_id for step in steps] for steps in (first[n], found[n]))
            if one != other:
                parted = next(place for place in range(NEW_TOKENS) if one[place] != other[place])
                assert gap(model, [*prompts()[n], *one[:parted]]) < 1e-4, f"prompt {n}, token {parted}"


def check_greedy(model: Decoder, found: dict[int, list[Step]]) -> None:
    """Every token is the best one of a forward pass over the whole sequence, or tied with it."""
    asked_for = prompts()
    for n, steps in found.items():
        ids = [*asked_for[n], *(step.token_id for step in steps)]
        with torch.no_grad():
            logits_TV = model(torch.tensor([ids]))[0, len(asked_for[n]) - 1 : -1]
        chosen_T = logits_TV.gather(-1, torch.tensor(ids[len(asked_for[n]) :])[:, None])[:, 0]
        assert float((logits_TV.amax(-1) - chosen_T).max()) < 1e-4


def gap(model: Decoder, ids: list[int]) -> float:
    with torch.no_grad():
        first, second = model(torch.tensor([ids]))[0, -1].topk(2).values.tolist()
    return first - second


if __name__ == "__main__":
    if sys.argv[1] == "torch":
        torch_answers_differ_only_where_the_best_two_are_tied()
    else:
        native_answers_are_the_same(sys.argv[2], sys.argv[3], int(sys.argv[4]))
