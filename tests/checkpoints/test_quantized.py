"""Packed checkpoints: loaded as they were saved, refused by AutoModel, and clear about damage."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from shizuku.checkpoints.contents import read_contents, unknown_architecture
from shizuku.checkpoints.directory import load_checkpoint, load_model, save_checkpoint
from shizuku.errors import CheckpointError
from shizuku.language_model import LanguageModel
from shizuku.models.decoder import Decoder
from shizuku.quantization.matrices import quantize_matrix
from shizuku.quantization.scheme import Scheme
from shizuku.quantization.surgery import matrices, pack_layer, quantized_layers
from small_models import small_model, small_tokenizer

IDS = torch.randint(0, 290, (2, 16), generator=torch.Generator().manual_seed(1))


def packed_model() -> Decoder:
    model = small_model("gpt2")
    for name, layer in matrices(model, keep=["*.key"]).items():
        rounded = quantize_matrix(layer.weight, Scheme(bits=4, group_size=8))
        pack_layer(model, name, rounded.layout, rounded.arrays)
    return model


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    return save_checkpoint(tmp_path / "packed", model=packed_model(), tokenizer=small_tokenizer())


def test_a_packed_checkpoint_comes_back_bit_for_bit(saved: Path, tmp_path: Path) -> None:
    model, loaded = packed_model(), load_checkpoint(saved)
    assert torch.equal(loaded.model(IDS), model(IDS))
    assert quantized_layers(loaded.model).keys() == quantized_layers(model).keys()
    assert loaded.kind == "shizuku" and loaded.tokenizer is not None
    again = LanguageModel.load(saved).save(tmp_path / "again")
    assert (again / "model.safetensors").read_bytes() == (saved / "model.safetensors").read_bytes()
    assert json.loads((again / "config.json").read_text()) == json.loads((saved / "config.json").read_text())


def test_the_file_is_as_large_as_its_packed_arrays(saved: Path) -> None:
    model = packed_model()
    packed = sum(layer.layout.bytes for layer in quantized_layers(model).values())
    floats = sum(4 * parameter.numel() for parameter in model.parameters())
    header = (saved / "model.safetensors").stat().st_size - packed - floats
    assert 0 < header < 120 * len(model.state_dict())


def test_other_programs_refuse_it_and_ours_describe_it(saved: Path) -> None:
    from transformers import AutoModelForCausalLM

    with pytest.raises(ValueError, match="shizuku-quantized"):
        AutoModelForCausalLM.from_pretrained(saved)
    found = read_contents(saved)
    assert found.architecture == "shizuku-quantized" and found.config["original"]["model_type"] == "gpt2"
    assert unknown_architecture(saved) is None


def _edit_config(saved: Path, change) -> None:
    config = json.loads((saved / "config.json").read_text())
    change(config)
    (saved / "config.json").write_text(json.dumps(config))
    (saved / "run.json").unlink()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["quantization"].update(format=9), "format is 9; this version of Shizuku reads 1"),
        (lambda c: c.pop("quantization"), "layers is missing"),
        (lambda c: c.pop("original"), "original, the config of the float model, is missing"),
        (
            lambda c: c["quantization"]["layers"]["embedding"].update(bits=3),
            r"embedding.numbers is torch.uint8 \[400, 16\]; the config's quantization says .*\[400, 12\]",
        ),
        (
            lambda c: c["quantization"]["layers"]["embedding"].update(grid="symmetric"),
            "not part of the model",
        ),
        (lambda c: c["quantization"]["layers"]["embedding"].update(grid="cubic"), "grid"),
        (lambda c: c["quantization"]["layers"].pop("embedding"), "embedding.weight"),
        (lambda c: c["quantization"]["layers"]["embedding"].update(shape=[400, 64]), "its layout says"),
        (lambda c: c["quantization"]["layers"]["embedding"].update(colour="red"), "unknown setting"),
        (lambda c: c["original"].update(n_layer=3), r"blocks\.2"),
    ],
)  # fmt: skip
def test_a_config_that_does_not_fit_the_file_is_refused(saved: Path, change, message: str) -> None:
    _edit_config(saved, change)
    with pytest.raises(CheckpointError, match=message) as caught:
        load_model(saved)
    assert str(saved) in str(caught.value)


def test_damage_is_refused(saved: Path) -> None:
    file = saved / "model.safetensors"
    whole = bytearray(file.read_bytes())
    whole[-1] ^= 1
    file.write_bytes(whole)
    with pytest.raises(CheckpointError, match="damaged or was changed"):
        load_model(saved)
    tensors = load_file(file)
    tensors["embedding.scales"][3, 0] = torch.nan
    save_file(tensors, file)
    (saved / "run.json").unlink()
    with pytest.raises(CheckpointError, match=r"embedding.scales holds numbers that are NaN"):
        load_model(saved)
    file.write_bytes(file.read_bytes()[:-40])
    with pytest.raises(CheckpointError, match="damaged or no safetensors file"):
        load_model(saved)


def test_types_cannot_be_chosen_for_a_packed_model(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="stored as it is"):
        save_checkpoint(tmp_path / "half", model=packed_model(), dtype=torch.float16)
