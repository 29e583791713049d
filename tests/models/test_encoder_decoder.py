"""The encoder-decoder: equal to torch.nn.Transformer, to transformers' Marian, and to itself step by step."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from peers import TOLERANCE, difference, randomise
from safetensors.torch import save_file
from torch import Tensor, nn

from shizuku.checkpoints.huggingface import load_weights, read_config, to_huggingface
from shizuku.errors import CheckpointError, ModelError
from shizuku.interpretability.maps import attention_maps
from shizuku.models.encoder_decoder import EncoderDecoder, EncoderDecoderConfig, initialise
from shizuku.models.hooks import hooked, recorded
from shizuku.models.translating import Sources

SHAPE: dict[str, Any] = {
    "vocab_size": 61, "context": 24, "width": 48, "encoder_layers": 2, "decoder_layers": 3, "heads": 4,
    "ffn_width": 80,
}  # fmt: skip


def made(**changes: Any) -> EncoderDecoder:
    model = EncoderDecoder(EncoderDecoderConfig(**SHAPE | changes)).eval()
    randomise(model, seed=3)
    return model


def pair() -> tuple[Tensor, Sources]:
    generator = torch.Generator().manual_seed(1)
    ids_BT = torch.randint(61, (3, 9), generator=generator)
    source_BS = torch.randint(61, (3, 11), generator=generator)
    return ids_BT, Sources(source_BS, torch.tensor([11, 4, 8]))


def as_torch(model: EncoderDecoder) -> nn.Transformer:
    """torch.nn.Transformer with the same weights."""
    config = model.config
    theirs = nn.Transformer(
        config.width, config.heads, config.encoder_layers, config.decoder_layers, config.ffn_width, 0.0,
        activation=config.activation, batch_first=True, norm_first=config.norm_placement == "before",
    ).eval()  # fmt: skip
    ours, weights = model.state_dict(), {}
    for key in theirs.state_dict():
        stack, rest = key.split(".", 1)
        if rest.startswith("norm"):
            weights[key] = ours[f"{stack}_norm.{rest.split('.')[1]}"]
            continue
        _, layer, name = rest.split(".", 2)
        here = f"{stack}.{layer}."
        norms = {"norm1": "attention_norm", "norm2": "cross_attention_norm", "norm3": "feedforward_norm"}
        if stack == "encoder":
            norms["norm2"] = "feedforward_norm"
        parts = {"linear1": "feedforward.up", "linear2": "feedforward.down"} | norms
        for other, own in (("self_attn", "attention"), ("multihead_attn", "cross_attention")):
            parts[f"{other}.out_proj"] = f"{own}.output"
            if name.startswith(f"{other}.in_proj_"):
                last = name.rpartition("_")[2]
                rows = [ours[f"{here}{own}.{one}.{last}"] for one in ("query", "key", "value")]
                weights[key] = torch.cat(rows)
        if key not in weights:
            name, last = name.rsplit(".", 1)
            weights[key] = ours[f"{here}{parts[name]}.{last}"]
    theirs.load_state_dict(weights)
    return theirs


@pytest.mark.parametrize("placement", ["before", "after"])
@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_equals_torchs_transformer(placement: str, activation: str) -> None:
    model = made(norm_placement=placement, activation=activation)
    ids_BT, sources = pair()
    embedded = (model._embed(ids, model.embedding, None, 0) for ids in (sources.ids_BS, ids_BT))
    hidden_BS = ~sources.real_BS
    with torch.no_grad():
        expected = as_torch(model)(
            *embedded, tgt_mask=nn.Transformer.generate_square_subsequent_mask(9), tgt_is_causal=True,
            src_key_padding_mask=hidden_BS, memory_key_padding_mask=hidden_BS,
        )  # fmt: skip
        assert (model.hidden(ids_BT, sources=sources) - expected).abs().max() < 1e-5


VARIANTS: list[dict[str, Any]] = [
    {},
    {"norm_placement": "after", "final_norm": False, "positions": "learned", "embedding_scale": False},
    {"share_embeddings": False, "tie_embeddings": False, "logit_bias": True, "biases": False},
]


@pytest.mark.parametrize("changes", VARIANTS)
def test_step_by_step_and_alone_it_says_the_same(changes: dict[str, Any]) -> None:
    model = made(**changes)
    ids_BT, sources = pair()
    with torch.no_grad():
        whole = model(ids_BT, sources=sources)
        state = model.start(sources)
        steps = torch.stack([model.step(ids_BT[:, at], state) for at in range(9)], 1)
        assert difference(steps, whole) < TOLERANCE
        for row, length in enumerate(sources.lengths_B.tolist()):
            alone = Sources(sources.ids_BS[row : row + 1, :length], sources.lengths_B[row : row + 1])
            assert difference(model(ids_BT[row : row + 1], sources=alone), whole[row : row + 1]) < TOLERANCE
        state.select_rows(torch.tensor([2, 2, 0]))
        last = ids_BT[[2, 2, 0], -1]
        again = torch.cat([ids_BT[[2, 2, 0]], last[:, None]], 1)
        turned = Sources(sources.ids_BS[[2, 2, 0]], sources.lengths_B[[2, 2, 0]])
        assert difference(model.step(last, state), model(again, sources=turned)[:, -1]) < TOLERANCE


def test_patterns_are_shares_of_the_real_source() -> None:
    model = made()
    ids_BT, sources = pair()
    pattern_BLTS = model.pattern(ids_BT, sources=sources)
    assert pattern_BLTS.shape == (3, 3, 9, 11)
    assert torch.allclose(pattern_BLTS.sum(-1), torch.ones(3, 3, 9), atol=1e-5)
    assert not pattern_BLTS[1, :, :, 4:].any()


FLIPS = [
    {"norm_placement": "before"}, {"final_norm": True}, {"embedding_scale": False}, {"activation": "gelu"},
    {"norm_eps": 1e-2}, {"positions": "learned"}, {"biases": False}, {"logit_bias": False},
]  # fmt: skip


def marian(**changes: Any) -> transformers.MarianMTModel:
    settings: dict[str, Any] = {
        "vocab_size": 61, "d_model": 48, "encoder_layers": 2, "decoder_layers": 3,
        "encoder_attention_heads": 4, "decoder_attention_heads": 4, "encoder_ffn_dim": 80,
        "decoder_ffn_dim": 80, "max_position_embeddings": 24, "scale_embedding": True,
        "activation_function": "swish", "pad_token_id": 60, "decoder_start_token_id": 60, "eos_token_id": 0,
        "forced_eos_token_id": 0,
    }  # fmt: skip
    model = transformers.MarianMTModel(transformers.MarianConfig(**settings | changes)).eval()
    kept = {
        name: module.weight.clone() for name, module in model.named_modules() if "embed_positions" in name
    }
    randomise(model, seed=4)
    generator = torch.Generator().manual_seed(5)
    model.final_logits_bias.copy_(torch.randn(model.final_logits_bias.shape, generator=generator))
    for name, weight in kept.items():
        model.get_submodule(name).weight.data.copy_(weight)
    return model


def their_logits(model: transformers.MarianMTModel) -> Tensor:
    ids_BT, sources = pair()
    with torch.no_grad():
        return model(
            input_ids=sources.ids_BS, attention_mask=sources.real_BS.long(), decoder_input_ids=ids_BT
        ).logits  # fmt: skip


def opened(folder: Path) -> EncoderDecoder:
    config = read_config(folder)
    model = EncoderDecoder(config).eval()
    model.load_state_dict(load_weights(folder, config))
    return model


def test_marians_logits_are_the_same_here_and_dropping_a_mechanism_is_seen(tmp_path: Path) -> None:
    theirs = marian()
    theirs.save_pretrained(tmp_path)
    model, expected = opened(tmp_path), their_logits(theirs)
    ids_BT, sources = pair()
    with torch.no_grad():
        assert difference(model(ids_BT, sources=sources), expected) < TOLERANCE
        for flip in FLIPS:
            changed = EncoderDecoder(replace(model.config, **flip)).eval()
            changed.load_state_dict(model.state_dict(), strict=False)
            assert difference(changed(ids_BT, sources=sources), expected) > 100 * TOLERANCE, flip


@pytest.mark.parametrize("scaled", [True, False])
def test_our_model_gives_marian_the_same_logits(scaled: bool, tmp_path: Path) -> None:
    model = made(
        norm_placement="after", final_norm=False, logit_bias=True, start_id=7, activation="silu",
        embedding_scale=scaled,
    )  # fmt: skip
    model.logit_bias_1V.normal_(generator=torch.Generator().manual_seed(2))
    keys, tensors = to_huggingface(model.config, model.state_dict())
    assert keys["model_type"] == "marian"
    transformers.AutoConfig.for_model(**keys).save_pretrained(tmp_path)
    save_file(tensors, tmp_path / "model.safetensors", metadata={"format": "pt"})
    theirs, report = transformers.MarianMTModel.from_pretrained(tmp_path, output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"]
    ids_BT, sources = pair()
    with torch.no_grad():
        assert difference(model(ids_BT, sources=sources), their_logits(theirs.eval())) < TOLERANCE
    assert read_config(tmp_path) == model.config


@pytest.mark.parametrize(
    "changes, named",
    [
        ({"share_encoder_decoder_embeddings": False}, "share_encoder_decoder_embeddings"),
        ({"tie_word_embeddings": False}, "tie_word_embeddings"),
        ({"decoder_ffn_dim": 96}, "decoder_ffn_dim"),
        ({"decoder_vocab_size": 62}, "decoder_vocab_size"),
        ({"normalize_before": True}, "normalize_before"),
        ({"add_final_layer_norm": True}, "add_final_layer_norm"),
    ],
)
def test_other_marians_are_refused_by_what_is_missing(
    changes: dict[str, Any], named: str, tmp_path: Path
) -> None:
    config = transformers.MarianConfig(**{"vocab_size": 61, "decoder_start_token_id": 60} | changes)
    config.save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match=named):
        read_config(tmp_path)


def test_t5_is_refused_by_the_mechanisms_that_are_missing(tmp_path: Path) -> None:
    transformers.T5Config(vocab_size=61).save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match="relative positions, RMS norms"):
        read_config(tmp_path)


def test_what_does_not_fit_is_refused() -> None:
    model = made()
    ids_BT, sources = pair()
    for wrong, match in (
        ((ids_BT[:2], sources), "3 sources"),
        ((ids_BT, Sources(sources.ids_BS, torch.tensor([11, 0, 8]))), "lengths"),
        ((ids_BT.repeat(1, 3), sources), "the target has 27 tokens, more than the model's window of 24"),
        ((ids_BT, Sources(sources.ids_BS.repeat(1, 3), sources.lengths_B)), "the source has 33 tokens"),
        ((ids_BT + 40, sources), "vocabulary has 61"),
    ):
        with pytest.raises(ModelError, match=match):
            model(wrong[0], sources=wrong[1])
    state = model.start(sources)
    with pytest.raises(ModelError, match="window of 24"):
        for _ in range(25):
            model.step(ids_BT[:, 0], state)


def test_the_seed_alone_makes_the_weights() -> None:
    one, two = made(), made()
    initialise(one, 1)
    initialise(two, 1)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
    assert float(one.embedding.weight.detach().std()) == pytest.approx(48**-0.5, rel=0.05)


def test_attentions_are_seen_and_heads_changed_by_name() -> None:
    model, (ids_BT, sources) = made(), pair()
    alone = Sources(sources.ids_BS[:1], sources.lengths_B[:1])
    plain = model(ids_BT[:1], sources=alone)

    def run(model: EncoderDecoder) -> None:
        model.hidden(ids_BT[:1], sources=alone)

    seen = {"encoder": (2, 11, 11), "decoder": (3, 9, 9), "cross": (3, 9, 11)}
    places = {"encoder": "encoder.?.attention.pattern", "decoder": "decoder.?.attention.pattern"}
    places["cross"] = "decoder.?.cross_attention.pattern"
    for name, (layers, queries, keys) in seen.items():
        maps_LHTS = attention_maps(model, ids_BT[0], places=places[name], run=run)
        assert maps_LHTS.shape == (layers, 4, queries, keys)
        assert maps_LHTS.sum(-1) == pytest.approx(1, abs=1e-5)
        assert np.triu(maps_LHTS, 1).any() == (name != "decoder")
    with pytest.raises(ModelError, match="over different things"):
        attention_maps(model, ids_BT[0], run=run)
    mean_LTS = model.pattern(ids_BT[:1], sources=alone)[0]
    assert torch.allclose(mean_LTS, torch.from_numpy(maps_LHTS).mean(1), atol=1e-6)
    with recorded(model, "*.pattern"):
        assert difference(model(ids_BT[:1], sources=alone), plain) < 1e-5

    def without(read_BHTK: Tensor, name: str) -> Tensor:
        return torch.cat([torch.zeros_like(read_BHTK[:, :1]), read_BHTK[:, 1:]], 1)

    with hooked(model, {"decoder.1.cross_attention.heads": without}):
        silenced = model(ids_BT[:1], sources=alone)
    with torch.no_grad():
        model.decoder[1].cross_attention.output.weight[:, :12] = 0
    assert difference(silenced, model(ids_BT[:1], sources=alone)) < 1e-5 < difference(silenced, plain)


def test_weights_of_16_bits_compute_about_the_same() -> None:
    config = EncoderDecoderConfig(
        vocab_size=20, context=16, width=16, encoder_layers=1, decoder_layers=1, heads=2, ffn_width=32
    )
    model = EncoderDecoder(config).eval()
    initialise(model, 0)
    sources = Sources(torch.tensor([[3, 4, 5]]), torch.tensor([3]))
    with torch.no_grad():
        wide = model(torch.tensor([[1, 2]]), sources=sources)
        narrow = model.to(torch.bfloat16)(torch.tensor([[1, 2]]), sources=sources)
    assert narrow.dtype == torch.bfloat16 and (narrow.float() - wide).abs().max() < 0.1 * wide.std()
