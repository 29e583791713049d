"""The encoder against transformers' BERT, and against itself: packed and single, fused and open."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import transformers
from peers import TOLERANCE, VOCABULARY, difference, randomise, token_ids

from shizuku.checkpoints.directory import load_model, save_checkpoint
from shizuku.errors import CheckpointError, ConfigError, ModelError
from shizuku.models.encoder import Encoder, EncoderConfig, initialise
from shizuku.models.hooks import recorded

CLASSES = {
    "BertForPreTraining": transformers.BertForPreTraining,
    "BertForMaskedLM": transformers.BertForMaskedLM,
    "BertModel": transformers.BertModel,
    "BertForNextSentencePrediction": transformers.BertForNextSentencePrediction,
}
SHAPE = {
    "vocab_size": VOCABULARY, "hidden_size": 96, "intermediate_size": 160, "num_hidden_layers": 3,
    "num_attention_heads": 6, "max_position_embeddings": 128, "type_vocab_size": 3, "layer_norm_eps": 0.01,
}  # fmt: skip


def bert(name: str, **changed: object) -> transformers.PreTrainedModel:
    """A tiny BERT of transformers' with every weight random."""
    model = CLASSES[name](transformers.BertConfig(**{**SHAPE, **changed})).eval()
    randomise(model)
    return model


def types_of(ids_BT: torch.Tensor) -> torch.Tensor:
    """Random token types for ids."""
    return torch.randint(3, ids_BT.shape, generator=torch.Generator().manual_seed(5))


@torch.no_grad()
def their_signals(model: transformers.PreTrainedModel, ids_BT, types_BT) -> dict[str, torch.Tensor]:
    """All that transformers' model gives, under our names."""
    found = model(ids_BT, token_type_ids=types_BT, output_hidden_states=True)
    signals = {f"blocks.{n}.residual": x for n, x in enumerate(found.hidden_states[1:])}
    signals["embedding"] = found.hidden_states[0]
    for ours, theirs in (("logits", "prediction_logits"), ("pair", "seq_relationship_logits")):
        if theirs in found:
            signals[ours] = found[theirs]
    if "logits" in found:
        signals["pair" if found.logits.dim() == 2 else "logits"] = found.logits
    if "pooler_output" in found:
        signals["pooled"] = found.pooler_output
    return signals


@torch.no_grad()
def our_signals(model: Encoder, ids_BT, types_BT) -> dict[str, torch.Tensor]:
    """The same from here."""
    with recorded(model, "blocks.*.residual", "embedding") as kept:
        x_BTD = model.hidden(ids_BT, types_BT=types_BT)
    if model.config.mask_head:
        kept["logits"] = model.unembed(x_BTD)
    if model.config.pair_head:
        kept["pair"] = model.pair_logits(x_BTD[:, 0])
    if model.config.pooler:
        kept["pooled"] = model.pooled(x_BTD[:, 0])
    return kept


@pytest.mark.parametrize("activation", ["gelu", "gelu_new"])
@pytest.mark.parametrize("name", CLASSES)
def test_all_signals_are_those_of_transformers_both_ways(name: str, activation: str, tmp_path: Path) -> None:
    theirs = bert(name, hidden_act=activation)
    theirs.save_pretrained(tmp_path / "theirs")
    ours = load_model(tmp_path / "theirs")
    ids_BT = token_ids()
    types_BT = types_of(ids_BT)
    wanted = their_signals(theirs, ids_BT, types_BT)
    found = our_signals(ours, ids_BT, types_BT)
    assert wanted.keys() <= found.keys()
    for signal, expected in wanted.items():
        assert difference(found[signal], expected) < TOLERANCE, signal

    save_checkpoint(tmp_path / "ours", model=ours)
    again, report = CLASSES[name].from_pretrained(tmp_path / "ours", output_loading_info=True)
    assert not any(report[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    for signal, expected in their_signals(again.eval(), ids_BT, types_BT).items():
        assert difference(expected, wanted[signal]) < 1e-6, signal


def test_heads_that_a_class_leaves_out_are_not_read(tmp_path: Path) -> None:
    ids_BT = token_ids()
    whole = bert("BertForPreTraining")
    whole.save_pretrained(tmp_path / "whole")
    config = tmp_path / "whole" / "config.json"
    said = json.loads(config.read_text())
    for name in ("BertForMaskedLM", "BertModel"):
        config.write_text(json.dumps({**said, "architectures": [name]}))
        part = load_model(tmp_path / "whole")
        assert part.config.mask_head == (name == "BertForMaskedLM") and not part.config.pair_head
        with torch.no_grad():
            expected = whole.bert(ids_BT).last_hidden_state
            assert difference(part.hidden(ids_BT), expected) < TOLERANCE


@pytest.mark.parametrize(
    "changed",
    [
        {"position_embedding_type": "relative_key"},
        {"is_decoder": True},
        {"tie_word_embeddings": False},
        {"architectures": ["BertForQuestionAnswering"]},
        {"hidden_act": "mish"},
    ],
)
def test_what_is_missing_here_is_refused(changed: dict[str, object], tmp_path: Path) -> None:
    bert("BertModel").save_pretrained(tmp_path)
    config = tmp_path / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), **changed}))
    with pytest.raises(CheckpointError, match=next(iter(changed))):
        load_model(tmp_path)


MECHANISMS = {
    "type_embedding.weight": 0.0,
    "position_embedding.weight": 0.0,
    "embedding_norm.bias": 0.0,
    "blocks.1.attention.key.weight": 0.0,
    "blocks.1.attention_norm.weight": 1.0,
    "blocks.2.feedforward_norm.bias": 0.0,
    "mask_head.norm.weight": 1.0,
    "mask_head.output_bias": 0.0,
}


@pytest.mark.parametrize("dropped", MECHANISMS)
def test_no_mechanism_can_be_dropped(dropped: str, tmp_path: Path) -> None:
    theirs = bert("BertForPreTraining")
    theirs.save_pretrained(tmp_path)
    ours = load_model(tmp_path)
    ids_BT = token_ids()
    types_BT = types_of(ids_BT)
    with torch.no_grad():
        ours.get_parameter(dropped).fill_(MECHANISMS[dropped])
        found = ours(ids_BT, types_BT=types_BT)
        expected = theirs(ids_BT, token_type_ids=types_BT).prediction_logits
    assert difference(found, expected) > 100 * TOLERANCE


def own() -> Encoder:
    """A small encoder with random weights."""
    config = EncoderConfig(vocab_size=VOCABULARY, context=200, width=48, layers=2, heads=3, ffn_width=96)
    model = Encoder(config).eval()
    randomise(model, seed=3)
    return model


@torch.no_grad()
def test_packed_and_padded_texts_read_as_each_alone() -> None:
    model, lengths = own(), [70, 1, 90, 24]
    texts = [token_ids(1, length, seed=length) for length in lengths]
    row = torch.cat([*texts, torch.zeros(1, 15, dtype=torch.long)], 1)
    numbers = [torch.full((1, length), n) for n, length in enumerate(lengths)]
    segments = torch.cat([*numbers, torch.full((1, 15), -1)], 1)
    types = (row % 2 == 0).long()
    packed = model(row, types_BT=types, segments_BT=segments)
    assert packed.isfinite().all()
    start = 0
    for text, length in zip(texts, lengths, strict=True):
        alone = model(text, types_BT=types[:, start : start + length])
        assert difference(packed[:, start : start + length], alone) < TOLERANCE
        start += length


@torch.no_grad()
def test_the_open_pattern_agrees_with_the_fused_one_and_sees_both_ways() -> None:
    model, ids = own(), token_ids(2, 20)
    plain = model.hidden(ids)
    with recorded(model, "blocks.*.attention.pattern") as kept:
        openly = model.hidden(ids)
    assert difference(openly, plain) < TOLERANCE
    assert all((pattern > 0).all() for pattern in kept.values()) and len(kept) == 2
    changed = ids.clone()
    changed[:, -1] = (changed[:, -1] + 1) % VOCABULARY
    assert (model.hidden(changed)[:, 0] != plain[:, 0]).any()


def test_an_output_matrix_of_its_own_is_kept(tmp_path: Path) -> None:
    model = Encoder(replace(own().config, tie_embeddings=False)).eval()
    randomise(model)
    save_checkpoint(tmp_path / "own", model=model)
    said = json.loads((tmp_path / "own" / "config.json").read_text())
    assert said["model_type"] == "shizuku-encoder"  # transformers' BERT has a second bias there
    assert torch.equal(load_model(tmp_path / "own")(token_ids()), model(token_ids()))


def test_what_a_block_keeps_is_about_what_it_says() -> None:
    model = own()
    parameters = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept: dict[int, torch.Tensor] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        model.hidden(token_ids(4, 100), segments_BT=torch.arange(100).expand(4, 100) // 50)
    found = sum(t.untyped_storage().nbytes() for place, t in kept.items() if place not in parameters)
    said = 4 * 400 * sum(block.kept_numbers for block in model.blocks)
    assert 0.7 < found / said < 1.4


def test_seeds_decide_all_weights() -> None:
    models = [Encoder(own().config) for _ in range(3)]
    for model, seed in zip(models, (1, 1, 2), strict=True):
        initialise(model, seed)
    first, second, third = (torch.cat([p.flatten() for p in model.parameters()]) for model in models)
    assert torch.equal(first, second) and not torch.equal(first, third)


def test_what_cannot_be_is_refused() -> None:
    model = own()
    for ids, message in (
        (torch.full((1, 3), VOCABULARY), "token ids run"),
        (token_ids(1, 201), "model's context is 200"),
        (torch.zeros((1, 0), dtype=torch.long), "expected \\[batch, tokens\\]"),
    ):
        with pytest.raises(ModelError, match=message):
            model(ids)
    with pytest.raises(ModelError, match="types run from"):
        model(token_ids(1, 4), types_BT=torch.full((1, 4), 2))
    for changed, message in (
        ({"heads": 5}, "no multiple of heads"),
        ({"pooler": False}, "pair_head reads"),
        ({"token_types": 1}, "token_types of 2"),
        ({"activation": "mish"}, "expected one of"),
    ):
        sizes = {"vocab_size": 9, "context": 9, "width": 48, "layers": 2, "heads": 3, "ffn_width": 96}
        with pytest.raises(ConfigError, match=message):
            EncoderConfig(**{**sizes, **changed})


def test_no_compiler_is_imported_to_make_an_encoder_without_weights() -> None:
    code = (
        "import sys, torch; from shizuku.models.encoder import Encoder, EncoderConfig\n"
        "sizes = dict(vocab_size=9, context=8, width=4, layers=1, heads=1, ffn_width=4)\n"
        "with torch.device('meta'): Encoder(EncoderConfig(**sizes))\n"
        "print(any(name.startswith(('torch._inductor', 'torch._dynamo')) for name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "False\n"
