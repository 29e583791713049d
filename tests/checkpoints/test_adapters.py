"""Adapters as directories: written whole, opened with their base, and not with any other."""

import json
import shutil

import pytest
import torch
from adapter_parts import CODEBOOK, IDS, adapted, packed, randomise

import shizuku
from shizuku.adapters.config import AdapterConfig
from shizuku.adapters.surgery import adapter_config, attach, merge, name_base
from shizuku.checkpoints.adapters import load_adapted, restore_adapter, save_adapter
from shizuku.checkpoints.contents import read_contents
from shizuku.checkpoints.directory import (
    checkpoint_digest,
    load_checkpoint,
    load_model,
    load_run,
    load_tokenizer,
    save_checkpoint,
)
from shizuku.checkpoints.gguf import write_gguf
from shizuku.checkpoints.kinds import kind_of
from shizuku.checkpoints.trained import restore_trained, save_trained
from shizuku.errors import CheckpointError, ModelError
from small_models import small_model, small_tokenizer

LORA = AdapterConfig(rank=4, alpha=6, dropout=0.1, targets=("blocks.*.attention.*",))


@pytest.fixture
def base(tmp_path):
    return save_checkpoint(tmp_path / "base", model=small_model(), tokenizer=small_tokenizer())


@torch.no_grad()
def logits(model):
    return model.eval()(IDS)


def made(base, out, config=LORA, **changes):
    """A model on this base with a random adapter, saved."""
    model = load_model(base)
    attach(model, config)
    randomise(model)
    name_base(model, str(base), checkpoint_digest(base))
    save_trained(out, model=model, **changes)
    return model


def test_a_directory_opens_as_the_base_with_the_adapter_in_it(base, tmp_path) -> None:
    model = made(base, tmp_path / "adapter", tokenizer=small_tokenizer())
    assert kind_of(tmp_path / "adapter") == "adapter"
    beside = load_adapted(tmp_path / "adapter", merged=False).model
    torch.testing.assert_close(logits(beside), logits(model), atol=0, rtol=0)
    assert adapter_config(beside) == LORA
    opened = load_checkpoint(tmp_path / "adapter")
    assert opened.kind == "adapter" and (logits(opened.model) - logits(model)).abs().max() < 1e-4
    assert (logits(opened.model) - logits(load_model(base))).std() > 0.3
    for runtime in ("native", "torch"):
        seen = torch.from_numpy(shizuku.load(tmp_path / "adapter", runtime=runtime).logits(IDS[0].tolist()))
        assert (seen - logits(model)[0]).abs().max() < 1e-4
    assert read_contents(tmp_path / "adapter").parameters < 10_000


def test_training_goes_on_from_the_same_numbers(base, tmp_path) -> None:
    model = made(base, tmp_path / "adapter")
    other = load_model(base)
    attach(other, LORA, seed=5)
    name_base(other, str(base), checkpoint_digest(base))
    restore_trained(tmp_path / "adapter", other)
    torch.testing.assert_close(logits(other), logits(model), atol=0, rtol=0)
    name_base(other, "elsewhere", "f" * 64)
    with pytest.raises(CheckpointError, match="another base"):
        restore_adapter(tmp_path / "adapter", other)


@pytest.mark.parametrize("kind", ["packed", "gguf"])
def test_a_packed_base_is_dequantised_where_the_adapter_is(kind, tmp_path) -> None:
    if kind == "packed":
        model = small_model()
        packed(model, CODEBOOK)
        base = save_checkpoint(tmp_path / "base", model=model, tokenizer=small_tokenizer())
    else:
        base = tmp_path / "base.gguf"
        plain = small_model()
        write_gguf(base, plain.config, plain.state_dict(), small_tokenizer(), "q4_1")
    model = made(base, tmp_path / "adapter")
    opened = load_model(tmp_path / "adapter")
    assert (logits(opened) - logits(model)).abs().max() < 1e-4
    assert (logits(load_model(base)) - logits(small_model())).std() > 0.01, "it was rounded"
    assert load_tokenizer(tmp_path / "adapter").vocab_size == load_tokenizer(base).vocab_size


def test_a_base_that_moved_along_is_found_and_another_is_not_taken(base, tmp_path) -> None:
    made(base, tmp_path / "adapter")
    before = logits(load_model(tmp_path / "adapter"))
    (tmp_path / "new").mkdir()
    for name in ("base", "adapter"):
        shutil.move(tmp_path / name, tmp_path / "new" / name)
    moved = tmp_path / "new" / "adapter"
    torch.testing.assert_close(logits(load_model(moved)), before, atol=0, rtol=0)
    save_checkpoint(tmp_path / "new" / "base", model=small_model(seed=1), tokenizer=small_tokenizer())
    with pytest.raises(CheckpointError, match=r"is not the base.*digest.*expected.*--another-base"):
        shizuku.load(moved)
    shutil.rmtree(tmp_path / "new" / "base")
    with pytest.raises(CheckpointError, match=r"base of the adapter.*is not here.*base.*--base MODEL"):
        shizuku.load(moved)


def test_a_directory_of_pefts_names_its_base_by_path_alone(base, tmp_path) -> None:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    theirs = get_peft_model(
        AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32),
        LoraConfig(r=4, target_modules=["q_proj", "down_proj"], init_lora_weights=False),
    ).eval()
    theirs.save_pretrained(tmp_path / "adapter")
    with torch.no_grad():
        expected = theirs(IDS).logits
    assert (logits(load_model(tmp_path / "adapter")) - expected).abs().max() < 1e-4
    assert shizuku.load(tmp_path / "adapter").tokenizer.vocab_size == small_tokenizer().vocab_size


def test_peft_opens_what_is_saved(base, tmp_path) -> None:
    from peft import AutoPeftModelForCausalLM

    model = made(base, tmp_path / "adapter", tokenizer=small_tokenizer())
    with torch.no_grad():
        theirs = AutoPeftModelForCausalLM.from_pretrained(tmp_path / "adapter", dtype=torch.float32).eval()
        assert (theirs(IDS).logits - logits(model)).abs().max() < 1e-4


def test_a_packed_base_of_a_float_model_is_named_to_peft_by_that(base, tmp_path) -> None:
    from shizuku.checkpoints.directory import run_record

    model = load_model(base)
    packed(model, CODEBOOK)
    four = save_checkpoint(tmp_path / "four", model=model, run=run_record(parent=base))
    made(four, tmp_path / "adapter")
    foreign = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert foreign["base_model_name_or_path"] == str(base)
    assert load_run(tmp_path / "adapter")["base"]["digest"] == checkpoint_digest(four)
    assert load_run(tmp_path / "adapter")["base"]["path"] == "../four"


def test_an_adapter_can_be_for_a_model_that_has_one_merged_into_it(base, tmp_path) -> None:
    first = made(base, tmp_path / "first", tokenizer=small_tokenizer())
    second = made(tmp_path / "first", tmp_path / "second", AdapterConfig(rank=2))
    assert (logits(load_model(tmp_path / "second")) - logits(second)).abs().max() < 1e-4
    assert (logits(second) - logits(first)).std() > 0.1
    assert shizuku.load(tmp_path / "second").runtime.vocab_size == 400, "torch merges both"
    made(base, tmp_path / "first", AdapterConfig(rank=3))
    with pytest.raises(CheckpointError, match="is not the base"):
        load_model(tmp_path / "second")


def test_models_that_transformers_lacks_keep_our_names(tmp_path) -> None:
    from dataclasses import replace

    from shizuku.models.decoder import Decoder, initialise

    model = Decoder(replace(small_model().config, norm_placement="both", embedding_norm=True))
    initialise(model, 0)
    base = save_checkpoint(tmp_path / "base", model=model)
    expected = made(base, tmp_path / "adapter")
    assert (logits(load_model(tmp_path / "adapter")) - logits(expected)).abs().max() < 1e-4


def test_saving_replaces_whole_and_what_is_damaged_is_told(base, tmp_path) -> None:
    out = tmp_path / "adapter"
    model = made(base, out, extra=lambda folder: (folder / "state").mkdir())
    (out / "metrics.jsonl").write_text("{}")
    save_adapter(out, model=model, dtype=torch.bfloat16)
    assert (out / "metrics.jsonl").exists() and not (out / "state").exists()
    save_checkpoint(tmp_path / "full", model=load_model(base))
    save_adapter(tmp_path / "full", model=model)
    assert kind_of(tmp_path / "full") == "adapter"
    weights = out / "adapter_model.safetensors"
    raw = bytearray(weights.read_bytes())
    raw[-1] ^= 1
    weights.write_bytes(raw)
    with pytest.raises(CheckpointError, match=r"adapter_model\.safetensors is damaged"):
        load_model(out)
    weights.unlink()
    (out / "adapter_model.bin").write_bytes(b"x")
    with pytest.raises(CheckpointError, match=r"adapter_model\.bin, a pickle"):
        shizuku.load(out)
    adapter = adapted(LORA)
    merge(adapter)
    with pytest.raises(ModelError, match="no adapter"):
        save_adapter(tmp_path / "none", model=adapter)
