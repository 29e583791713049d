"""`shizuku merge` as a user calls it: into its own base, and into another only where that is asked for."""

import json

import pytest
import torch

import shizuku
from shizuku.adapters.config import AdapterConfig
from shizuku.adapters.surgery import attach, name_base, pairs_of
from shizuku.checkpoints.adapters import load_adapted, save_adapter
from shizuku.checkpoints.directory import (
    checkpoint_digest,
    load_checkpoint,
    load_model,
    load_run,
    run_record,
    save_checkpoint,
)
from shizuku.checkpoints.headed import load_headed
from shizuku.cli import main
from shizuku.models.heads import HeadedDecoder
from shizuku.quantization.scheme import SCHEMES
from shizuku.quantization.surgery import is_quantized, matrices
from shizuku.quantization.whole import quantize_model
from tiny_language_model import tiny_model, tokenizer

IDS = torch.arange(1, 40)[None]


@pytest.fixture
def places(tmp_path):
    """A float model, the 4-bit base that was made of it, and an adapter for that on the attention alone."""
    model = tiny_model(tokenizer().vocab_size)
    floats = save_checkpoint(tmp_path / "float", model=model, tokenizer=tokenizer())
    quantize_model(model, dict.fromkeys(matrices(model), SCHEMES["int4"]), [])
    base = save_checkpoint(
        tmp_path / "base", model=model, tokenizer=tokenizer(), run=run_record(parent=floats)
    )
    attach(model, AdapterConfig(rank=3, targets=("blocks.*.attention.*",)))
    generator = torch.Generator().manual_seed(0)
    for pair in pairs_of(model, "default").values():
        pair.b_OR.data.copy_(torch.randn(pair.b_OR.shape, generator=generator) / 4)
    name_base(model, str(base), checkpoint_digest(base))
    adapter = save_adapter(tmp_path / "adapter", model=model, tokenizer=tokenizer())
    return floats, base, adapter


def merge(capsys, *words: object) -> tuple[int, dict[str, object], str]:
    """Exit code, result and what was said."""
    with pytest.raises(SystemExit) as ended:
        main(["merge", *map(str, words), "--json"])
    said = capsys.readouterr()
    return ended.value.code or 0, json.loads(said.out or "{}"), said.err


@torch.no_grad()
def logits(model):
    return model.eval()(IDS)


def test_merged_into_the_dequantised_base_it_is_the_tuned_model(places, tmp_path, capsys) -> None:
    _, base, adapter = places
    code, result, _ = merge(capsys, adapter, "--out", tmp_path / "merged")
    assert code == 0 and result["own_base"] is True and result["base"] == str(base)
    tuned = logits(load_adapted(adapter, merged=False).model)
    found = load_checkpoint(tmp_path / "merged")
    assert not is_quantized(found.model) and found.kind == "shizuku"
    assert (logits(found.model) - tuned).abs().max() < 1e-4
    assert result["logit_change"]["largest"] < 1e-4 and result["logit_change"]["divergence"] < 1e-6
    assert (logits(load_model(base)) - tuned).std() > 0.1 * tuned.std(), "the adapter does something"
    assert "chat" in shizuku.load(tmp_path / "merged").capabilities
    assert load_run(tmp_path / "merged")["parent"]["digest"] == checkpoint_digest(adapter)


def test_merging_into_the_float_model_is_asked_for_and_shows_its_change(places, tmp_path, capsys) -> None:
    floats, _, adapter = places
    out = tmp_path / "merged"
    code, _, said = merge(capsys, adapter, "--out", out, "--base", floats)
    assert code == 2 and "--another-base" in said and not out.exists()
    code, result, said = merge(capsys, adapter, "--out", out, "--base", floats, "--another-base")
    assert code == 0 and result["own_base"] is False and "another model" in said
    tuned, found = logits(load_adapted(adapter, merged=False).model), logits(load_model(out))
    assert (found - tuned).abs().max() > 100 * 1e-4
    change = result["logit_change"]
    assert change["largest"] > 0.01 and 0.003 < change["share"] < 1 and change["divergence"] > 1e-4


def test_without_its_base_the_change_is_not_known(places, tmp_path, capsys) -> None:
    floats, base, adapter = places
    base.rename(tmp_path / "away")
    code, _, said = merge(capsys, adapter, "--out", tmp_path / "merged")
    assert code == 2 and "is not here" in said
    code, result, _ = merge(capsys, adapter, "--out", tmp_path / "one", "--base", tmp_path / "away")
    assert code == 0 and result["own_base"] is True and result["logit_change"]["largest"] < 1e-4
    words = (adapter, "--out", tmp_path / "two", "--base", floats, "--another-base")
    code, result, _ = merge(capsys, *words)
    assert code == 0 and result["logit_change"] is None


def test_what_cannot_be_merged_is_said(places, tmp_path, capsys) -> None:
    floats, base, adapter = places
    code, _, said = merge(capsys, floats, "--out", tmp_path / "merged")
    assert code == 2 and "not an adapter" in said
    code, _, said = merge(capsys, adapter, "--out", base)
    assert code == 2 and "--out" in said and "already" in said
    other = save_checkpoint(tmp_path / "other", model=tiny_model(500), tokenizer=tokenizer())
    code, _, said = merge(capsys, adapter, "--out", tmp_path / "merged", "--base", other)
    assert code == 2 and "--another-base" in said


def test_a_head_is_merged_along(places, tmp_path, capsys) -> None:
    _, base, _ = places
    headed = HeadedDecoder(load_model(base), 1)
    attach(headed, AdapterConfig(rank=3))
    generator = torch.Generator().manual_seed(0)
    for pair in pairs_of(headed, "default").values():
        pair.b_OR.data.copy_(torch.randn(pair.b_OR.shape, generator=generator) / 4)
    headed.head.weight.data.normal_(generator=generator)
    name_base(headed, str(base), checkpoint_digest(base))
    save_adapter(tmp_path / "reward", model=headed, tokenizer=tokenizer())
    code, result, said = merge(capsys, tmp_path / "reward", "--out", tmp_path / "merged")
    assert code == 0, said
    assert result["own_base"] is True
    with torch.no_grad():
        rewards = load_headed(tmp_path / "merged").model(IDS)
        assert (rewards - headed.eval()(IDS)).abs().max() < 1e-4
    code, _, said = merge(capsys, tmp_path / "reward", "--out", tmp_path / "other", "--base", base)
    assert code == 2 and "has a head" in said
