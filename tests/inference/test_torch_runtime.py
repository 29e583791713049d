"""The paged cache against whole forward passes, for every way of placing tokens, in any pieces and groups."""

import random

import numpy as np
import pytest
import torch

from shizuku.errors import ModelError
from shizuku.inference.runtime import Runtime, Span
from shizuku.inference.torch_runtime import TorchRuntime, groups
from shizuku.models.decoder import Decoder, DecoderConfig
from shizuku.models.decoder_config import RotaryScaling
from shizuku.models.state import State

SHAPES = {
    "rotary": {},
    "learned": {"positions": "learned", "norm": "layernorm", "kv_heads": 4},
    "alibi": {"positions": "alibi", "kv_heads": 4, "norm": "layernorm", "embedding_norm": True},
    "windowed": {
        "sliding_window": 9, "sliding_layers": (True, False), "qk_norm": True, "rope_local_theta": 100.0,
    },
    "capped": {"attention_cap": 5.0, "logit_cap": 8.0},
    "scaled": {
        "rope_scaling": RotaryScaling(kind="yarn", factor=4.0, original_context=32),
        "parallel_residual": True,
    },
}  # fmt: skip


def decoder(shape: str) -> Decoder:
    config = DecoderConfig(
        **{
            "vocab_size": 97, "context": 128, "width": 32, "layers": 2, "heads": 4, "kv_heads": 2,
            "ffn_width": 48, **SHAPES[shape],
        }
    )  # fmt: skip
    model, generator = Decoder(config), torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            wide = parameter.dim() > 1
            parameter.copy_(noise * 1.5 / parameter.shape[-1] ** 0.5 if wide else 1 + 0.3 * noise)
    return model.eval()


@pytest.mark.parametrize("shape", SHAPES)
def test_any_pieces_in_any_company_equal_one_pass(shape: str) -> None:
    model, dice = decoder(shape), random.Random(2)
    texts = [[dice.randrange(97) for _ in range(n)] for n in (70, 1, 33, 33, 8, 50, 17, 90)]
    runtime = TorchRuntime(model, block_tokens=4)
    assert isinstance(runtime, Runtime)
    runtime.reserve(100)
    free = dice.sample(range(100), 100)  # blocks in no order
    blocks = [[free.pop() for _ in range(-(-len(text) // 4))] for text in texts]
    blocks[0].sort()  # but for one that may be read in place
    held = [0] * len(texts)
    rows: list[list[np.ndarray]] = [[] for _ in texts]
    while any(h < len(t) for h, t in zip(held, texts, strict=True)):
        spans, who = [], []
        for n, text in enumerate(texts):
            if held[n] < len(text) and dice.random() < 0.7:
                count = min(dice.choice([1, 1, 2, 7, 30]), len(text) - held[n])
                spans.append(Span(text[held[n] : held[n] + count], held[n], blocks[n], "all"))
                who.append(n)
                held[n] += count
        if spans:
            found = runtime.forward(spans)
            for n, part in zip(
                who, np.split(found, np.cumsum([len(s.ids) for s in spans])[:-1]), strict=True
            ):
                rows[n].append(part)
    for text, parts in zip(texts, rows, strict=True):
        with torch.no_grad():
            wanted = model(torch.tensor([text]))[0].numpy()
        np.testing.assert_allclose(np.concatenate(parts), wanted, atol=1e-4 * wanted.std(), rtol=0)


def test_wanted_rows_come_in_the_order_of_the_spans() -> None:
    model, runtime = decoder("rotary"), TorchRuntime(decoder("rotary"), block_tokens=4)
    runtime.reserve(32)
    texts = [list(range(20)), [5], list(range(40, 47)), [9, 8, 7]]
    wanted = ["last", "none", "all", "last"]
    spans = [
        Span(text, 0, list(range(8 * n, 8 * n + 8)), want)  # type: ignore[arg-type]
        for n, (text, want) in enumerate(zip(texts, wanted, strict=True))
    ]
    with torch.no_grad():
        vectors = [model.hidden(torch.tensor([text]))[0].numpy() for text in texts]
        logits = [model.unembed(torch.from_numpy(v)).numpy() for v in vectors]
    for found, each in ((runtime.forward(spans), logits), (runtime.hidden(spans), vectors)):
        expected = np.concatenate([each[0][-1:], each[2], each[3][-1:]])
        np.testing.assert_allclose(found, expected, atol=1e-4)
        assert found.dtype == np.float32
    assert runtime.forward([]).shape == (0, 97)
    assert runtime.forward(spans[1:2]).shape == (0, 97)


def test_growing_and_copying_keep_what_blocks_hold() -> None:
    model = decoder("windowed")
    runtime = TorchRuntime(model, block_tokens=4)
    runtime.reserve(3)
    text = list(range(12))
    whole = runtime.forward([Span(text, 0, [2, 0, 1], "last")])
    runtime.reserve(50)
    runtime.reserve(10)
    assert runtime.blocks == 50
    runtime.copy_block(1, 33)
    np.testing.assert_allclose(runtime.forward([Span(text[11:], 11, [2, 0, 33])]), whole, atol=1e-5)


def test_a_model_in_half_precision_or_moved_keeps_its_type() -> None:
    model = decoder("rotary")
    runtime = TorchRuntime(model, block_tokens=4)
    runtime.reserve(4)
    single, before = runtime.forward([Span([1, 2, 3], 0, [0])]), runtime.version
    model.bfloat16()
    assert runtime.version != before
    assert runtime.block_bytes == 4 * 2 * 2 * 2 * 8 * 2
    half = runtime.forward([Span([1, 2, 3], 0, [0])])
    assert half.dtype == np.float32
    assert 0 < np.abs(half - single).max() < 0.1 * single.std() + 0.5


def test_padding_stays_small() -> None:
    def shared(*spans: tuple[int, int]) -> list[list[int]]:
        return groups([Span([0] * count, start, []) for start, count in spans])

    assert shared((5, 1), (40, 1), (100, 1)) == [[0, 1, 2]], "tokens of all lengths share a pass"
    assert shared((0, 1), (5000, 1)) == [[0], [1]], "but not at any price"
    assert shared((0, 100), (0, 90), (0, 20)) == [[2], [1, 0]]
    assert shared((0, 1), (0, 300)) == [[0], [1]]
    assert shared(*[(0, 2000)] * 3) == [[0, 1], [2]], "4,096 tokens a pass"


def test_a_paged_state_is_a_state_for_one_call() -> None:
    from shizuku.inference.torch_runtime import PagedState, Pages

    state = PagedState(Pages(), [Span([1], 0, [0])], block_tokens=4, kv_heads=2, device=torch.device("cpu"))
    assert isinstance(state, State)
    for call in (lambda: state.truncate(0), state.snapshot, lambda: state.select_rows(torch.tensor([0]))):
        with pytest.raises(ModelError, match="serves one call"):
            call()
