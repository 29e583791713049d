"""Decoders with a head, to disk and back, and what transformers makes of them."""

import json
from pathlib import Path

import peers
import pytest
import torch
import transformers
from torch import nn

import shizuku
from shizuku.adapters.config import AdapterConfig
from shizuku.adapters.surgery import attach, name_base
from shizuku.checkpoints.directory import checkpoint_digest, load_model, save_checkpoint
from shizuku.checkpoints.headed import load_headed, save_headed
from shizuku.checkpoints.trained import restore_trained, save_trained
from shizuku.errors import CheckpointError
from shizuku.models.decoder import Decoder
from shizuku.models.decoder_config import DecoderConfig
from shizuku.models.heads import HeadedDecoder
from small_models import SHAPES, small_model, small_tokenizer

IDS = torch.arange(24).reshape(2, 12) * 7 % 290
WITHOUT_HEAD_THERE = ("granite", "olmoe", "dots1")
"""Architectures of which transformers has no class with a head."""


def headed(shape: str = "llama", outputs: int = 1, **labels: tuple[str, ...]) -> HeadedDecoder:
    model = HeadedDecoder(small_model(shape), outputs, **labels)
    nn.init.normal_(model.head.weight, generator=torch.Generator().manual_seed(3))
    return model.eval()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("outputs", [1, 3])
@torch.no_grad()
def test_transformers_opens_it_with_equal_outputs(shape: str, outputs: int, tmp_path: Path) -> None:
    model = headed(shape, outputs)
    path = save_headed(tmp_path / "model", model=model, tokenizer=small_tokenizer())
    theirs = transformers.AutoModelForSequenceClassification.from_pretrained(path).eval()
    assert type(theirs).__name__ == json.loads((path / "config.json").read_text())["architectures"][0]
    assert theirs.config.num_labels == outputs
    here = model(IDS)[:, -1]
    assert (theirs(IDS).logits - here).abs().max() < 2e-5 * here.std()
    if outputs == 1:
        assert theirs.config.id2label == {0: "reward"}


@pytest.mark.parametrize("name", [name for name in peers.CONFIGS if name not in WITHOUT_HEAD_THERE])
@torch.no_grad()
def test_one_of_transformers_is_opened_with_equal_outputs(name: str, tmp_path: Path) -> None:
    config = type(peers.CONFIGS[name]).from_dict(
        {**peers.CONFIGS[name].to_dict(), "id2label": {0: "calm", 1: "rude"}, "pad_token_id": 0}
    )
    theirs = transformers.AutoModelForSequenceClassification.from_config(config, attn_implementation="eager")
    peers.randomise(theirs.eval())
    theirs.save_pretrained(tmp_path)
    model = load_headed(tmp_path).model
    assert model.labels == ("calm", "rude")
    ids_BT = 1 + peers.token_ids() % (peers.VOCABULARY - 1)  # no padding for them to find
    logits = theirs(ids_BT).logits
    assert (model(ids_BT)[:, -1] - logits).abs().max() < peers.TOLERANCE * logits.std()
    again = save_headed(tmp_path / "again", model=model)
    reopened = transformers.AutoModelForSequenceClassification.from_pretrained(again).eval()
    assert type(reopened) is type(theirs)
    torch.testing.assert_close(reopened(ids_BT[:1]).logits, logits[:1])


@torch.no_grad()
def test_padding_that_is_also_the_end_hides_the_end_from_transformers_but_not_here(tmp_path: Path) -> None:
    model, tokenizer = headed(), small_tokenizer()
    path = save_headed(tmp_path / "model", model=model, tokenizer=tokenizer)
    keys = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps({**keys, "pad_token_id": tokenizer.eos_id}))
    theirs = transformers.AutoModelForSequenceClassification.from_pretrained(path).eval()
    ids_BT = torch.cat([IDS[:1] + 5, torch.tensor([[tokenizer.eos_id]])], 1)
    outputs_TO = model(ids_BT)[0]
    torch.testing.assert_close(theirs(ids_BT).logits[0], outputs_TO[-2], atol=1e-5, rtol=1e-5)
    assert (outputs_TO[-1] - outputs_TO[-2]).abs() > 1e-2  # they read another token than was trained


@pytest.mark.parametrize("tie", [True, False])
def test_saved_and_loaded_is_the_same_but_for_the_output_matrix(tie: bool, tmp_path: Path) -> None:
    config = DecoderConfig(
        vocab_size=50, context=16, width=16, layers=1, heads=2, ffn_width=24, tie_embeddings=tie
    )
    model = HeadedDecoder(Decoder(config), 2, labels=("yes", "no"))
    nn.init.normal_(model.head.weight)
    path = save_trained(tmp_path / "model", model=model, run={"metrics": {"loss": 1.0}})
    found = load_headed(path)
    assert found.run["metrics"] == {"loss": 1.0} and found.model.labels == ("yes", "no")
    mine, theirs = model.state_dict(), found.model.state_dict()
    assert set(mine) - set(theirs) == (set() if tie else {"decoder.unembedding.weight"})
    assert all(torch.equal(tensor, mine[name]) for name, tensor in theirs.items())
    other = HeadedDecoder(Decoder(config), 2)
    kept = None if tie else other.decoder.unembedding_weight_VD.clone()
    restore_trained(path, other)
    assert all(
        torch.equal(tensor, mine[name]) for name, tensor in other.state_dict().items() if name in theirs
    )
    assert kept is None or torch.equal(kept, other.decoder.unembedding_weight_VD)


def test_a_shape_that_transformers_has_not_is_saved_and_refused_there(tmp_path: Path) -> None:
    config = DecoderConfig(
        vocab_size=50, context=16, width=16, layers=1, heads=2, ffn_width=24, positions="none"
    )
    model = HeadedDecoder(Decoder(config), 1)
    nn.init.normal_(model.head.weight)
    path = save_headed(tmp_path / "model", model=model, dtype=torch.float16)
    found = load_headed(path).model
    assert found.config.positions == "none"
    torch.testing.assert_close(found.head.weight, model.head.weight, atol=1e-3, rtol=1e-3)
    with pytest.raises(ValueError, match="shizuku-decoder"):
        transformers.AutoModelForSequenceClassification.from_pretrained(path)


def test_the_wrong_way_to_open_one_says_the_right_one(tmp_path: Path) -> None:
    reward = save_headed(tmp_path / "reward", model=headed(), tokenizer=small_tokenizer())
    labelled = save_headed(tmp_path / "labels", model=headed(outputs=2, labels=("calm", "rude")))
    plain = save_checkpoint(tmp_path / "plain", model=small_model())
    for open_it in (shizuku.load, load_model):
        with pytest.raises(CheckpointError, match=r"is a reward model.*shizuku align --reward"):
            open_it(reward)
        with pytest.raises(CheckpointError, match=r"is a classifier .calm, rude.*shizuku classify"):
            open_it(labelled)
    with pytest.raises(CheckpointError, match=r"a model without a head.*shizuku reward"):
        load_headed(plain)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"id2label": {"0": "a", "1": "b"}}, r"score.weight has shape \[1, 32\]; the config says \[2, 32\]"),
        ({"id2label": {"1": "a"}}, "id2label is"),
        ({"id2label": None}, "id2label is None"),
        ({"rms_norm_eps": "x"}, "config.json|hold together"),
    ],
)
def test_damaged_settings_are_named(change: dict, message: str, tmp_path: Path) -> None:
    path = save_headed(tmp_path / "model", model=headed())
    file = path / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    with pytest.raises(CheckpointError, match=r"digest|bytes"):
        load_headed(path)
    with pytest.raises(CheckpointError, match=message):
        load_headed(path, verify=False)


def test_weights_that_are_not_finite_are_refused_and_leave_what_was_there(tmp_path: Path) -> None:
    model = headed()
    path = save_headed(tmp_path / "model", model=model)
    before = load_headed(path).model.head.weight.clone()
    with torch.no_grad():
        model.head.weight[0, 0] = float("nan")
    with pytest.raises(CheckpointError, match=r"head\.weight are NaN"):
        save_headed(path, model=model)
    assert torch.equal(load_headed(path).model.head.weight, before)


# ---- an adapter below the head


def adapted(base: Path, outputs: int = 1) -> HeadedDecoder:
    """A head and an adapter on a saved base, both random."""
    model = HeadedDecoder(load_model(base), outputs)
    attach(model, AdapterConfig(rank=3), seed=1)
    name_base(model, str(base), checkpoint_digest(base))
    draw = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("b_OR") or name.startswith("head."):
                nn.init.normal_(parameter, std=0.2, generator=draw)
    return model.eval()


@torch.no_grad()
def test_an_adapter_and_its_head_are_one_directory_that_peft_opens(tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    base = save_checkpoint(tmp_path / "base", model=small_model(), tokenizer=small_tokenizer())
    model = adapted(base, outputs=2)
    path = save_trained(tmp_path / "model", model=model)
    outputs = model(IDS)
    opened = load_headed(path)
    assert opened.tokenizer is not None
    torch.testing.assert_close(opened.model(IDS), outputs, atol=2e-5, rtol=1e-5)
    theirs = transformers.AutoModelForSequenceClassification.from_pretrained(base, num_labels=2)
    theirs = peft.PeftModel.from_pretrained(theirs, str(path)).eval()
    assert (theirs(IDS).logits - outputs[:, -1]).abs().max() < 2e-5 * outputs.std()
    other = HeadedDecoder(load_model(base), 2)
    attach(other, AdapterConfig(rank=3), seed=9)
    restore_trained(path, other)
    torch.testing.assert_close(other(IDS), outputs)
    with pytest.raises(CheckpointError, match="no head of 1 outputs"):
        restore_trained(path, adapted(base))


def test_an_adapter_with_a_head_is_no_language_model_and_one_without_has_no_head(tmp_path: Path) -> None:
    base = save_checkpoint(tmp_path / "base", model=small_model(), tokenizer=small_tokenizer())
    path = save_trained(tmp_path / "model", model=adapted(base))
    with pytest.raises(CheckpointError, match=r"is a reward model.*shizuku align --reward"):
        shizuku.load(path)
    plain = load_model(base)
    attach(plain, AdapterConfig(rank=2))
    name_base(plain, str(base), checkpoint_digest(base))
    save_trained(tmp_path / "plain", model=plain)
    with pytest.raises(CheckpointError, match=r"without a head.*shizuku reward"):
        load_headed(tmp_path / "plain")


@torch.no_grad()
def test_an_adapter_with_a_head_of_pefts_is_opened(tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    base = save_checkpoint(tmp_path / "base", model=small_model(), tokenizer=small_tokenizer())
    theirs = transformers.AutoModelForSequenceClassification.from_pretrained(base, num_labels=3)
    theirs = peft.get_peft_model(
        theirs, peft.LoraConfig(task_type="SEQ_CLS", r=2, target_modules=["q_proj", "up_proj"])
    ).eval()
    for name, parameter in theirs.named_parameters():
        if "lora_B" in name or "score" in name:
            nn.init.normal_(parameter, std=0.2)
    theirs.save_pretrained(tmp_path / "adapter")
    opened = load_headed(tmp_path / "adapter").model
    assert opened.labels == ("0", "1", "2")
    here = opened(IDS)[:, -1]
    assert (theirs(IDS).logits - here).abs().max() < 2e-5 * here.std()
