"""Fast equals slow: cached, padded, packed and reordered calls give what each sequence gives alone."""

import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from peers import VOCABULARY, difference, randomise, token_ids
from torch import Tensor

from shizuku.errors import ModelError
from shizuku.models.decoder import Decoder, DecoderConfig
from shizuku.models.decoder_config import RotaryScaling
from shizuku.models.layers import attention, visibility
from shizuku.models.layers.visibility import visible_plain
from shizuku.models.state import State

CLOSE = 1e-5
SHAPE = {"vocab_size": VOCABULARY, "context": 64, "width": 48, "layers": 3, "heads": 6, "ffn_width": 80}
KINDS = {
    "rotary": DecoderConfig(**SHAPE, kv_heads=2, qk_norm=True),
    "learned": DecoderConfig(
        **SHAPE, positions="learned", norm="layernorm", norm_bias=True, activation="gelu_tanh", gated=False,
        attention_bias=True, attention_output_bias=True, mlp_bias=True,
    ),
    "windowed": DecoderConfig(
        **SHAPE, kv_heads=3, sliding_window=5, sliding_layers=(True, False, True), tie_embeddings=False
    ),
    "alibi": DecoderConfig(
        **SHAPE, kv_heads=2, positions="alibi", embedding_norm=True, norm="layernorm", norm_bias=True,
        gated=False, activation="gelu_tanh", sliding_window=6, sliding_layers=(False, True, False),
    ),
    "capped_sandwich": DecoderConfig(
        **SHAPE, kv_heads=1, norm_placement="both", norm_offset=True, qk_norm=True, attention_cap=3.0,
        logit_cap=4.0, sliding_window=5, sliding_layers=(True, False, True), rope_local_theta=100.0,
        embedding_multiplier=3.0,
    ),
    "parallel_partial": DecoderConfig(
        **SHAPE, parallel_residual=True, shared_norm=True, rotary_share=0.5, tie_embeddings=False,
        unembedding_bias=True, logit_multiplier=0.5, residual_multiplier=0.7,
    ),
    "scaled_joint": DecoderConfig(
        **SHAPE, kv_heads=2, norm_placement="after", qk_norm=True, qk_norm_joint=True, attention_scale=0.2,
        rope_scaling=RotaryScaling(kind="yarn", factor=4.0, original_context=16),
    ),
    "no_positions": DecoderConfig(**SHAPE, kv_heads=1, head_width=10, positions="none", activation="relu2"),
}  # fmt: skip


@pytest.fixture(params=KINDS)
def model(request: pytest.FixtureRequest) -> Decoder:
    decoder = Decoder(KINDS[request.param]).eval()
    randomise(decoder)
    return decoder


@pytest.fixture(autouse=True)
def _without_gradients():
    with torch.no_grad():
        yield


def padded(rows: list[Tensor], side: str) -> tuple[Tensor, Tensor]:
    """Ids and segments [B, T] of rows of different lengths; the filler is a real token on purpose."""
    length = max(len(row) for row in rows)
    ids_BT = torch.full((len(rows), length), 7)
    segments_BT = torch.full((len(rows), length), -1)
    for b, row in enumerate(rows):
        place = slice(length - len(row), length) if side == "left" else slice(0, len(row))
        ids_BT[b, place], segments_BT[b, place] = row, 0
    return ids_BT, segments_BT


@pytest.mark.parametrize("pieces", [[1] * 20, [20], [7, 1, 1, 6, 5], [19, 1]])
def test_cached_equals_uncached(model: Decoder, pieces: list[int]) -> None:
    ids_BT = token_ids(3, 20)
    state = model.new_state(3, capacity=2)
    parts = [model(piece, state=state) for piece in ids_BT.split(pieces, dim=1)]
    assert difference(torch.cat(parts, dim=1), model(ids_BT)) < CLOSE
    assert state.length == 20
    assert state.plain


@pytest.mark.parametrize("side", ["left", "right"])
def test_padded_equals_alone_in_prefill_and_in_decoding(model: Decoder, side: str) -> None:
    rows = [token_ids(1, length, seed=length)[0] for length in (17, 4, 11)]
    ids_BT, segments_BT = padded([row[:-3] for row in rows], side)
    state = model.new_state(3, capacity=4)
    logits_BTV = model(ids_BT, segments_BT=segments_BT, state=state)
    alone = [model(row[None])[0] for row in rows]
    for b, row in enumerate(rows):
        assert difference(logits_BTV[b, segments_BT[b] == 0], alone[b][: len(row) - 3]) < CLOSE
    for step in (-3, -2, -1):
        step_logits = model(torch.stack([row[step] for row in rows])[:, None], state=state)
        for b in range(3):
            assert difference(step_logits[b, 0], alone[b][step]) < CLOSE
    assert not state.plain


def test_a_whole_row_of_padding_stays_finite_and_can_start_later(model: Decoder) -> None:
    row = token_ids(1, 6)[0]
    state = model.new_state(2, capacity=8)
    segments_BT = torch.tensor([[0] * 6, [-1] * 6])
    assert model(torch.stack([row, row]), segments_BT=segments_BT, state=state).isfinite().all()
    later = model(torch.stack([row, row]), segments_BT=torch.tensor([[-1] * 6, [0] * 6]), state=state)
    assert difference(later[1], model(row[None])[0]) < CLOSE


def test_packed_equals_separate(model: Decoder) -> None:
    rows = [token_ids(1, length, seed=length)[0] for length in (9, 1, 14)]
    segments_BT = torch.tensor([[0] * 9 + [1] + [2] * 14 + [-1] * 3])
    ids_BT = torch.cat([*rows, torch.zeros(3, dtype=torch.long)])[None]
    worked_out = model(ids_BT, segments_BT=segments_BT)
    positions_BT = torch.tensor([[*range(9), 0, *range(14), 5, 5, 5]])
    given = model(ids_BT, segments_BT=segments_BT.int(), positions_BT=positions_BT)
    for number, row in enumerate(rows):
        for logits in (worked_out, given):
            assert difference(logits[0, segments_BT[0] == number], model(row[None])[0]) < CLOSE


def test_a_beginning_shared_by_a_row_equals_documents_that_repeat_it(model: Decoder) -> None:
    begin = token_ids(1, 6, seed=1)[0]
    rests = [token_ids(1, length, seed=length)[0] for length in (8, 3)]
    segments_BT = torch.tensor([[-2] * 6 + [0] * 8 + [1] * 3 + [-1] * 2])
    ids_BT = torch.cat([begin, *rests, torch.zeros(2, dtype=torch.long)])[None]
    positions_BT = torch.tensor([[*range(6), *range(6, 14), *range(6, 9), 0, 0]])
    for given in ({}, {"positions_BT": positions_BT}):
        logits_BTV = model(ids_BT, segments_BT=segments_BT, **given)
        assert bool(logits_BTV.isfinite().all())
        for number, rest in enumerate(rests):
            alone_BTV = model(torch.cat([begin, rest])[None])
            assert difference(logits_BTV[0, segments_BT[0] == number], alone_BTV[0, 6:]) < CLOSE
            assert difference(logits_BTV[0, :6], alone_BTV[0, :6]) < CLOSE


@pytest.mark.parametrize("shared", [0, 11, 70])
def test_attention_in_pieces_equals_attention_over_all(
    model: Decoder, shared: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Decoder(replace(model.config, context=512))
    randomise(model)
    rows = [
        [-2] * shared + [number // 37 for number in range(300 - shared)],
        [-2] * shared + [0] * 90 + [1] * 5 + [2] * 60 + [-1] * (145 - shared),
    ]
    segments_BT, ids_BT = torch.tensor(rows), token_ids(2, 300)
    real_BT = segments_BT != -1
    cut = []
    real_pieces = visibility._pieces

    def pieces(*given: Tensor) -> tuple[visibility.Piece, ...]:
        cut.append(real_pieces(*given))
        return cut[-1]

    monkeypatch.setattr(visibility, "_pieces", pieces)
    fast = model(ids_BT, segments_BT=segments_BT)
    assert all(len(found) == 5 for found in cut)
    assert bool(fast.isfinite().all())
    monkeypatch.setattr(visibility, "_pieces", lambda *given: ())
    assert difference(fast[real_BT], model(ids_BT, segments_BT=segments_BT)[real_BT]) < CLOSE


def test_explicit_positions_and_segments_equal_the_plain_path(model: Decoder) -> None:
    ids_BT = token_ids(2, 12)
    zeros_BT = torch.zeros_like(ids_BT)
    explicit = model(ids_BT, positions_BT=torch.arange(12)[None], segments_BT=zeros_BT)
    assert difference(explicit, model(ids_BT)) < CLOSE


def test_embeddings_equal_their_ids(model: Decoder) -> None:
    ids_BT = token_ids()
    assert torch.equal(model(embeddings_BTD=model.embedding(ids_BT)), model(ids_BT))


def test_rows_are_selected_repeated_and_reordered(model: Decoder) -> None:
    # ReLU squared without positions gave 1.03e-5 in float32 (docs/lab-notes.md): held in float64 alone.
    if model.config.activation != "relu2":
        check_selected_rows(model, CLOSE)
    check_selected_rows(model.double(), 1e-12)


def check_selected_rows(model: Decoder, bound: float) -> None:
    rows = [token_ids(1, length, seed=length)[0] for length in (9, 5, 7)]
    ids_BT, segments_BT = padded(rows, "right")
    state = model.new_state(3, capacity=16)
    model(ids_BT, segments_BT=segments_BT, state=state)
    state.select_rows(torch.tensor([2, 0, 2, 1]))
    step = model(torch.full((4, 1), 3), state=state)
    for b, original in enumerate((2, 0, 2, 1)):
        alone = model(torch.cat([rows[original], torch.tensor([3])])[None])[0, -1]
        assert difference(step[b, 0], alone) < bound


def test_truncating_and_restoring_come_back_to_the_same_place(model: Decoder) -> None:
    ids_BT = token_ids(2, 16)
    full = model(ids_BT)
    state = model.new_state(2, capacity=4)
    model(ids_BT[:, :10], state=state)
    kept = state.snapshot()
    model(token_ids(2, 6, seed=9), state=state)
    state.truncate(10)
    assert difference(model(ids_BT[:, 10:], state=state), full[:, 10:]) < CLOSE
    state.select_rows(torch.tensor([1, 1]))
    state.restore(kept)
    assert state.length == 10
    assert difference(model(ids_BT[:, 10:], state=state), full[:, 10:]) < CLOSE
    with pytest.raises(ModelError, match="cannot truncate a state of 16 slots to 17"):
        state.truncate(17)


def test_capacity_doubles_when_it_runs_out() -> None:
    model = Decoder(KINDS["rotary"]).eval()
    state = model.new_state(1, capacity=4)
    assert isinstance(state, State)
    capacities = []
    for _ in range(17):
        model(token_ids(1, 1), state=state)
        capacities.append(state.capacity)
    assert capacities == [4] * 4 + [8] * 4 + [16] * 8 + [32]
    assert state.bytes == 3 * 2 * 2 * 32 * 8 * 4


def test_a_call_that_fails_leaves_the_state_as_it_was() -> None:
    model = Decoder(KINDS["rotary"]).eval()
    randomise(model)
    ids_BT = token_ids(1, 10)
    state = model.new_state(1, capacity=4)
    model(ids_BT[:, :5], state=state)
    for wrong in (torch.full((1, 2), VOCABULARY), token_ids(1, 60), token_ids(2, 1)):
        with pytest.raises(ModelError):
            model(wrong, state=state)
    assert difference(model(ids_BT[:, 5:], state=state), model(ids_BT)[:, 5:]) < CLOSE


def test_decoding_without_padding_builds_no_mask(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Decoder(KINDS["windowed"]).eval()
    seen = []
    kernel = attention.F.scaled_dot_product_attention

    def spy(q: Tensor, k: Tensor, v: Tensor, **options: object) -> Tensor:
        seen.append((k.shape[2], options["attn_mask"]))
        return kernel(q, k, v, **options)

    monkeypatch.setattr(attention.F, "scaled_dot_product_attention", spy)
    state = model.new_state(1, capacity=16)
    model(token_ids(1, 9), state=state)
    seen.clear()
    model(token_ids(1, 1), state=state)
    assert seen == [(5, None), (10, None), (5, None)]


@pytest.mark.parametrize(("start", "tokens", "window"), [(0, 6, None), (3, 4, None), (0, 9, 3), (4, 5, 3)])
def test_plain_masks_follow_the_rule(start: int, tokens: int, window: int | None) -> None:
    found = visible_plain(start, tokens, window=window, device=torch.device("cpu"))
    expected = torch.tensor(
        [
            [j <= start + i and (window is None or start + i - j < window) for j in range(start + tokens)]
            for i in range(tokens)
        ]
    )
    mask = torch.ones(tokens, tokens).tril().bool() if found.causal else found.mask_BHTS[0, 0]
    assert torch.equal(mask, expected)


_COMPILED = """
import torch
from shizuku.models.decoder import Decoder, DecoderConfig, initialise
from shizuku.models.decoder_config import RotaryScaling
shape = {
    "vocab_size": 257, "context": 64, "width": 48, "layers": 2, "heads": 6, "ffn_width": 80, "kv_heads": 3
}
plain = shape | {"layers": 1}
configs = [
    DecoderConfig(**shape, sliding_window=5, sliding_layers=(True, False)),
    DecoderConfig(
        **shape, norm_placement="both", norm_offset=True, qk_norm=True, qk_norm_joint=True, attention_cap=3.0,
        sliding_window=5, sliding_layers=(True, False), rope_local_theta=100.0, rotary_share=0.5,
        rope_scaling=RotaryScaling(kind="llama3", factor=4.0, original_context=32), logit_cap=4.0,
    ),
    DecoderConfig(
        **plain, positions="alibi", parallel_residual=True, shared_norm=True, residual_multiplier=0.5
    ),
]
ids_BT = torch.randint(257, (2, 40))
for config in configs:
    model = Decoder(config)
    initialise(model, 0)
    with torch.no_grad():
        eager, compiled = model(ids_BT), torch.compile(model, fullgraph=True)(ids_BT)
    print((eager - compiled).abs().max().item() / eager.std().item())
"""


@pytest.mark.slow
def test_compiled_equals_eager_in_one_graph() -> None:
    """In a process of its own: the shape checks that pytest installs cannot be traced."""
    done = subprocess.run([sys.executable, "-c", _COMPILED], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert len(done.stdout.split()) == 3
    assert all(float(off) < CLOSE for off in done.stdout.split())
