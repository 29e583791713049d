"""GGUF files: every type that can be dequantised, round trips, and damage that is named."""

import json
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
import transformers
from decoders import CONFIGS, OLMO2, SHAPE, random_model
from tokenizers import models, normalizers, pre_tokenizers
from transformers.modeling_gguf_pytorch_utils import load_gguf_checkpoint

from shizuku.checkpoints.gguf import FILE_TYPES, half_split, interleaved, open_gguf, write_gguf
from shizuku.checkpoints.gguf_tensors import GGUFTensors
from shizuku.checkpoints.gguf_tokenizer import pre_tokenizer_name
from shizuku.checkpoints.huggingface import to_huggingface
from shizuku.errors import CheckpointError
from shizuku.models.decoder import Decoder, DecoderConfig
from shizuku.models.decoder_config import RotaryScaling
from shizuku.text.gguf_vocabulary import tokenizer_from_metadata
from shizuku.text.pretokenizers import PATTERNS, byte_level
from shizuku.text.prompting import prompt_ids
from shizuku.text.tokenizer import Tokenizer
from small_models import small_model, small_tokenizer

YARN = RotaryScaling(kind="yarn", factor=2.0, original_context=32)
TEXT = ["雨が降る。 It rains in the small town, 42 days a year; the train comes when the rain has gone."] * 4


def reopened(path: Path) -> Decoder:
    config, weights, _ = open_gguf(path)
    model = Decoder(config).eval()
    model.load_state_dict(weights)
    return model


def ids(count: int = 20) -> torch.Tensor:
    return torch.randint(SHAPE["vocab_size"], (1, count), generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", CONFIGS)
@torch.no_grad()
def test_float32_round_trip_is_exact(name: str, tmp_path: Path) -> None:
    model = random_model(CONFIGS[name])
    write_gguf(tmp_path / "m.gguf", model.config, model.state_dict())
    again = reopened(tmp_path / "m.gguf")
    assert open_gguf(tmp_path / "m.gguf")[2]["general.architecture"] == name
    assert again.config == model.config
    if model.config.norm_offset:  # the file holds 1 + weight, which rounds
        assert (again(ids()) - model(ids())).abs().max() < 2e-6 * model(ids()).std()
    else:
        assert torch.equal(again(ids()), model(ids()))


@pytest.mark.parametrize(
    ("file_type", "close"), [("f16", 2e-3), ("bf16", 0.016), ("q8_0", 0.03), ("q4_1", 0.4), ("q4_0", 0.5)]
)
@torch.no_grad()
def test_smaller_types_lose_what_they_must(file_type: str, close: float, tmp_path: Path) -> None:
    model = random_model(CONFIGS["llama"])
    sizes = []
    for kind in ("f32", file_type):
        write_gguf(tmp_path / f"{kind}.gguf", model.config, model.state_dict(), file_type=kind)
        sizes.append((tmp_path / f"{kind}.gguf").stat().st_size)
    expected = model(ids())
    off = (reopened(tmp_path / f"{file_type}.gguf")(ids()) - expected).abs().mean() / expected.std()
    assert close / 20 < off < close
    assert sizes[1] < 0.6 * sizes[0]


@pytest.mark.parametrize("name", ["llama", "qwen2", "qwen3", "gpt2", "bloom", "gemma2", "gemma3"])
@torch.no_grad()
def test_transformers_reads_the_tensors_that_we_write(name: str, tmp_path: Path) -> None:
    """An independent reader: the names, the rotary order and the values are the format's, not just ours."""
    model = random_model(CONFIGS[name])
    write_gguf(tmp_path / "m.gguf", model.config, model.state_dict(), Tokenizer.train(TEXT, vocab_size=300))
    keys, _ = to_huggingface(model.config, model.state_dict())
    theirs = transformers.AutoModelForCausalLM.from_config(transformers.AutoConfig.for_model(**keys)).eval()
    read = load_gguf_checkpoint(str(tmp_path / "m.gguf"), return_tensors=True, model_to_load=theirs)
    assert set(theirs.state_dict()) - set(read["tensors"]) <= {"lm_head.weight"}
    theirs.load_state_dict(read["tensors"], strict=False)
    theirs.tie_weights()
    expected = model(ids())
    assert (theirs(ids()).logits - expected).abs().max() < 2e-5 * expected.std()


def test_the_tokenizer_and_its_template_travel_along(tmp_path: Path) -> None:
    tokenizer = Tokenizer.train(TEXT, vocab_size=300)
    model = random_model(CONFIGS["llama"])
    write_gguf(tmp_path / "m.gguf", model.config, model.state_dict(), tokenizer)
    metadata = open_gguf(tmp_path / "m.gguf")[2]
    again = tokenizer_from_metadata(metadata, source="m.gguf")
    text = "It rains, it rains: 雨が降る! 1234 <|im_end|>"
    assert again.encode(text) == tokenizer.encode(text)
    assert again.encode(text, control=True) == tokenizer.encode(text, control=True)
    assert (again.bos_id, again.eos_id, again.pad_id) == (
        tokenizer.bos_id,
        tokenizer.eos_id,
        tokenizer.pad_id,
    )
    assert again.stop_ids == tokenizer.stop_ids
    assert again.chat_template == tokenizer.chat_template
    assert len(metadata["tokenizer.ggml.tokens"]) == SHAPE["vocab_size"]


def test_an_independent_reader_finds_the_vocabulary(tmp_path: Path) -> None:
    """Read by the format's own package: llama.cpp's names, every id's spelling and type, the template."""
    tokenizer = Tokenizer.train(TEXT, vocab_size=300)
    tokenizer.chat_templates["tool_use"] = "{{ messages[0]['content'] }} 雨"
    model = random_model(CONFIGS["qwen3"])
    write_gguf(tmp_path / "m.gguf", model.config, model.state_dict(), tokenizer)
    fields = gguf.GGUFReader(tmp_path / "m.gguf").fields
    found = {name: field.contents() for name, field in fields.items() if name.startswith("tokenizer.")}
    spelling = {number: token for token, number in tokenizer.backend.get_vocab().items()}
    size = SHAPE["vocab_size"]
    tokens = [spelling.get(number, f"[PAD{number}]") for number in range(size)]
    assert found.pop("tokenizer.ggml.tokens") == tokens
    kinds = dict.fromkeys(spelling, gguf.TokenType.NORMAL)
    kinds |= dict.fromkeys(tokenizer.control, gguf.TokenType.CONTROL)
    unused = gguf.TokenType.UNUSED
    assert found.pop("tokenizer.ggml.token_type") == [kinds.get(number, unused) for number in range(size)]
    merges = json.loads(tokenizer.backend.to_str())["model"]["merges"]
    assert found.pop("tokenizer.ggml.merges") == [" ".join(merge) for merge in merges] and len(merges) > 5
    assert found == {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "qwen2",
        "tokenizer.ggml.bos_token_id": tokenizer.bos_id,
        "tokenizer.ggml.eos_token_id": tokenizer.eos_id,
        "tokenizer.ggml.padding_token_id": tokenizer.pad_id,
        "tokenizer.ggml.add_bos_token": True,
        "tokenizer.chat_template": tokenizer.chat_template,
        "tokenizer.chat_template.tool_use": tokenizer.chat_templates["tool_use"],
        "tokenizer.chat_templates": ["tool_use"],
    }
    again = tokenizer_from_metadata(open_gguf(tmp_path / "m.gguf")[2], source="m.gguf")
    assert again.chat_templates == tokenizer.chat_templates


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda b: setattr(b, "normalizer", normalizers.Lowercase()), "changes text before .*Lower"),
        (lambda b: setattr(b, "pre_tokenizer", pre_tokenizers.Whitespace()), "no name for the way"),
        (lambda b: setattr(b.model, "ignore_merges", True), "cuts text as qwen2 does and takes pieces whole"),
        (lambda b: setattr(b, "model", models.WordLevel({"a": 0}, "a")), "this tokenizer is WordLevel"),
    ],
)  # fmt: skip
def test_a_tokenizer_that_another_reader_would_not_follow(
    change: Callable[[Any], None], message: str, tmp_path: Path
) -> None:
    tokenizer = Tokenizer.train(TEXT, vocab_size=300)
    change(tokenizer.backend)
    model = random_model(CONFIGS["llama"])
    with pytest.raises(CheckpointError, match=message):
        write_gguf(tmp_path / "m.gguf", model.config, model.state_dict(), tokenizer)


def test_a_cut_with_and_without_whole_pieces_has_two_names() -> None:
    cut = json.loads(byte_level(PATTERNS["llama-bpe"]).__getstate__())
    assert pre_tokenizer_name(cut, whole_pieces=True) == "llama-bpe"
    assert pre_tokenizer_name(cut) in ("dbrx", "smaug-bpe")


def test_a_tokenizer_larger_than_the_model_is_refused(tmp_path: Path) -> None:
    tokenizer = Tokenizer.train(TEXT, vocab_size=300)
    small = random_model(DecoderConfig(**(SHAPE | {"vocab_size": 280})))
    with pytest.raises(CheckpointError, match=r"the tokenizer has .* ids, the model only 280"):
        write_gguf(tmp_path / "m.gguf", small.config, small.state_dict(), tokenizer)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"gated": False}, "no GGUF architecture has the mechanisms"),
        ({"activation": "gelu"}, "activation 'gelu'"),
        ({"qk_norm": True, "sliding_window": 8}, "sliding_window 8: GGUF's qwen3 can only say None"),
        (
            {"qk_norm": True, "attention_bias": True, "attention_output_bias": True},
            "attention_output_bias True",
        ),
        (OLMO2 | {"tie_embeddings": True}, "tie_embeddings True: GGUF's olmo2 can only say False"),
        ({"rope_scaling": YARN}, "rope_scaling RotaryScaling.kind='yarn'"),
        ({"sliding_window": 8, "sliding_layers": (True, False)}, "; without sliding_window 8 it could be"),
        # Without its norm it would be no config at all, which is no reason to fall over.
        ({"norm": "layernorm", "norm_bias": True, "qk_norm": True}, "qk_norm True it could|its config is"),
    ],
)
def test_what_gguf_cannot_say_is_not_written(changes: dict, message: str, tmp_path: Path) -> None:
    config = DecoderConfig(**(SHAPE | changes))
    with pytest.raises(CheckpointError, match=message):
        write_gguf(tmp_path / "m.gguf", config, Decoder(config).state_dict())
    assert not (tmp_path / "m.gguf").exists()
    config = DecoderConfig(**SHAPE)
    with pytest.raises(CheckpointError, match="--type 'q3' is not known; choose from f32, f16"):
        write_gguf(tmp_path / "m.gguf", config, Decoder(config).state_dict(), file_type="q3")


def _dequantisable() -> list[gguf.GGMLQuantizationType]:
    kinds = []
    for kind, (block, size) in gguf.GGML_QUANT_SIZES.items():
        try:
            gguf.quants.dequantize(np.zeros((1, size * 256 // block), np.uint8), kind)
        except NotImplementedError:
            continue
        kinds.append(kind)
    return kinds


KINDS = _dequantisable()


def test_many_types_are_known() -> None:
    names = {kind.name for kind in KINDS}
    assert {"Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K"} <= names
    assert {"IQ1_S", "IQ2_XXS", "IQ3_S", "IQ4_NL", "IQ4_XS", "TQ1_0", "MXFP4", "BF16"} <= names


@pytest.mark.parametrize("kind", [*KINDS, gguf.GGMLQuantizationType.F32], ids=lambda kind: kind.name)
def test_every_type_that_can_be_dequantised_is_read(kind: gguf.GGMLQuantizationType, tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(3, 512)).astype(np.float32)
    try:
        stored = gguf.quants.quantize(values, kind)
    except NotImplementedError:  # no quantiser: any bytes are some blocks of the type
        block, size = gguf.GGML_QUANT_SIZES[kind]
        stored = np.random.default_rng(1).integers(1, 48, size=(3, 512 // block * size), dtype=np.uint8)
    writer = gguf.GGUFWriter(str(tmp_path / "t.gguf"), "llama")
    writer.add_tensor("before", np.ones(5, np.float32))
    writer.add_tensor("t", stored, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    tensors = GGUFTensors(tmp_path / "t.gguf")
    assert list(tensors) == ["before", "t"]
    found = tensors["t"].numpy()
    assert found.shape == (3, 512)
    assert found.dtype == np.float32
    expected = gguf.quants.dequantize(stored, kind).astype(np.float32)
    assert np.array_equal(found, expected.reshape(3, 512), equal_nan=True)


def test_the_rotary_orders_undo_each_other() -> None:
    rows = torch.arange(24.0).reshape(12, 2)
    assert interleaved(torch.arange(6), heads=1).tolist() == [0, 3, 1, 4, 2, 5]
    assert torch.equal(half_split(interleaved(rows, heads=2), heads=2), rows)


def _written(directory: Path) -> bytes:
    model = random_model(CONFIGS["llama"])
    write_gguf(directory / "m.gguf", model.config, model.state_dict(), file_type="q8_0")
    return (directory / "m.gguf").read_bytes()


@pytest.mark.parametrize("keep", [0, 3, 4, 20, 24, 60, 700, 0.2, 0.5, 0.999])
def test_truncated_files_are_refused_by_name(keep: float, tmp_path: Path) -> None:
    data = _written(tmp_path)
    path = tmp_path / "cut.gguf"
    path.write_bytes(data[: int(keep * len(data)) if isinstance(keep, float) else keep])
    with pytest.raises(CheckpointError, match=r"cut\.gguf: .*(truncated|damaged)"):
        open_gguf(path)


def test_junk_and_tampering_never_crash(tmp_path: Path) -> None:
    data = bytearray(_written(tmp_path))
    path = tmp_path / "bad.gguf"
    random = np.random.default_rng(0)
    front = data.find(b"token_embd") + 2000
    survived = 0
    for _ in range(300):
        broken = data.copy()
        at = int(random.integers(0, front))
        broken[at : at + 8] = random.bytes(8)
        path.write_bytes(broken)
        try:
            open_gguf(path)
            survived += 1
        except CheckpointError as error:
            assert "bad.gguf" in str(error)
    assert survived < 200
    path.write_bytes(b"PK\3\4" + bytes(100))
    with pytest.raises(CheckpointError, match=r"bad\.gguf: .*no GGUF file"):
        open_gguf(path)
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 2**60, 2**60) + bytes(100))
    with pytest.raises(CheckpointError, match=r"bad\.gguf: truncated"):
        open_gguf(path)
    with pytest.raises(CheckpointError, match=r"none\.gguf: cannot be read: No such file"):
        open_gguf(tmp_path / "none.gguf")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            b"llama",
            b"mamba",
            "the architecture 'mamba' is not known here; known in GGUF are bloom, gemma2, gemma3, gpt2",
        ),
        (b"llama.block_count", b"llama.block_cover", "the metadata lacks llama.block_count"),
        (b"blk.1.attn_q.weight", b"blk.1.attn_x.weight", "1 tensors are missing: blk.1.attn_q.weight"),
        (
            b"llama.rope.dimension_count",
            b"llama.rope.dimension_extra",
            "rope.dimension_extra = 16 is not understood",
        ),
        (
            b"llama.attention.layer_norm_rms",
            b"llama.attention.layer_norm_rss",
            "the metadata lacks llama.attention.layer_norm_rms_epsilon",
        ),
    ],
)
def test_foreign_files_are_refused_with_the_reason(
    old: bytes, new: bytes, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "foreign.gguf"
    path.write_bytes(_written(tmp_path).replace(old, new, 1))
    with pytest.raises(CheckpointError, match=message) as caught:
        open_gguf(path)
    assert "foreign.gguf" in str(caught.value)


def test_the_real_smollm2_opens(smollm2_gguf: Path) -> None:
    config, weights, metadata = open_gguf(smollm2_gguf)
    assert (config.layers, config.width, config.kv_heads, config.rope_theta) == (30, 576, 3, 100_000.0)
    assert config.tie_embeddings
    assert all(tensor.isfinite().all() for tensor in weights.values())
    assert metadata["general.architecture"] == "llama"
    assert set(FILE_TYPES) == {"f32", "f16", "bf16", "q8_0", "q4_0", "q4_1"}


@pytest.mark.parametrize("opens", [True, False])
def test_whether_prompts_begin_with_bos_travels_along(opens: bool, tmp_path: Path) -> None:
    made = small_tokenizer()
    settings = {**made.settings, "add_bos_token": opens}
    tokenizer = Tokenizer(
        made.backend, special=replace(made.special, bos=made.special.eos), settings=settings
    )
    model = small_model()
    write_gguf(tmp_path / "m.gguf", model.config, model.state_dict(), tokenizer)
    again = Tokenizer.load(tmp_path / "m.gguf")
    assert prompt_ids(again, "the") == prompt_ids(tokenizer, "the")
    assert (prompt_ids(again, "the")[0] == again.bos_id) == opens
