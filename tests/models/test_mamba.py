"""Mamba against transformers' two models, both ways; documents apart, pieces of a text."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import transformers
from recurrent_parts import check_documents, check_pieces, check_shared_beginning, close, random_model

from shizuku.checkpoints.directory import load_checkpoint, save_checkpoint
from shizuku.checkpoints.families import family_of
from shizuku.checkpoints.huggingface import load_weights, read_config
from shizuku.errors import CheckpointError, ConfigError
from shizuku.models.architectures import architecture_of, build
from shizuku.models.mamba import MambaConfig

_SIZES = {"vocab_size": 61, "hidden_size": 32, "num_hidden_layers": 3}
PEERS = {
    "mamba": transformers.MambaConfig(**_SIZES, state_size=5, conv_kernel=3, layer_norm_epsilon=0.01),
    "mamba biased": transformers.MambaConfig(
        **_SIZES, expand=3, use_bias=True, use_conv_bias=False, time_step_rank=7, tie_word_embeddings=False
    ),
    "mamba2": transformers.Mamba2Config(
        **_SIZES, num_heads=8, head_dim=8, state_size=12, n_groups=1, chunk_size=8, tie_word_embeddings=True
    ),
    "mamba2 grouped": transformers.Mamba2Config(
        **_SIZES, num_heads=4, head_dim=16, state_size=6, n_groups=2, chunk_size=8, use_bias=True,
        use_conv_bias=False, time_step_limit=(0.3, 0.9), layer_norm_epsilon=0.02,
    ),
}  # fmt: skip
OURS = {
    "mamba": MambaConfig(vocab_size=50, width=24, layers=2, state_width=6, norm_eps=0.01),
    "mamba2": MambaConfig(vocab_size=50, width=24, layers=2, heads=6, groups=2, state_width=5, context=77),
}
CHANGES = [
    ("mamba", {"norm_eps": 1e-5}), ("mamba biased", {"tie_embeddings": True}), ("mamba2", {"norm_eps": 0.1}),
    ("mamba2 grouped", {"step_limit": None}), ("mamba2 grouped", {"groups": 4, "state_width": 3}),
]  # fmt: skip


def their_model(name: str) -> torch.nn.Module:
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(PEERS[name])
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            noise = torch.randn_like(parameter)
            if key.endswith(("A_log", "norm.weight", "norm_f.weight", "D")):
                parameter.copy_(1 + 0.4 * noise if "A_log" not in key else 0.7 * noise)
            elif "dt" in key and parameter.dim() == 1:
                parameter.copy_(0.7 * noise)
            else:
                parameter.copy_(noise * 1.5 / parameter[0].numel() ** 0.5 if parameter.dim() > 1 else noise)
    return model.eval()


IDS_BT = torch.randint(61, (2, 30), generator=torch.Generator().manual_seed(4))


@pytest.mark.parametrize("name", PEERS)
@torch.no_grad()
def test_their_models_give_the_same_logits_here_and_back(name: str, tmp_path: Path) -> None:
    theirs = their_model(name)
    theirs.save_pretrained(tmp_path / "theirs")
    ours = load_checkpoint(tmp_path / "theirs").model
    expected_BTV = theirs(IDS_BT).logits
    assert close(ours(IDS_BT), expected_BTV)
    save_checkpoint(tmp_path / "ours", model=ours)
    back = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "ours").eval()
    assert type(back) is type(theirs)
    assert close(back(IDS_BT).logits, expected_BTV)


@pytest.mark.parametrize(("name", "changes"), CHANGES)
@torch.no_grad()
def test_changing_a_mechanism_breaks_parity(name: str, changes: dict, tmp_path: Path) -> None:
    theirs = their_model(name)
    theirs.save_pretrained(tmp_path)
    config = read_config(tmp_path)
    model = build(replace(config, **changes))
    weights = load_weights(tmp_path, config)
    model.load_state_dict({key: weights[key] for key in model.state_dict()})
    assert not close(model(IDS_BT), theirs(IDS_BT).logits, 1e-2)


@pytest.mark.parametrize("name", OURS)
def test_documents_of_a_row_do_not_see_each_other(name: str) -> None:
    check_documents(random_model(OURS[name]), 50)
    check_shared_beginning(random_model(OURS[name]), 50)


@pytest.mark.parametrize("name", OURS)
def test_pieces_of_a_text_are_the_text(name: str) -> None:
    check_pieces(random_model(OURS[name]), 50)


@pytest.mark.parametrize("name", OURS)
def test_a_model_of_ours_comes_back_with_its_context(name: str, tmp_path: Path) -> None:
    save_checkpoint(tmp_path, model=random_model(OURS[name]))
    assert read_config(tmp_path) == OURS[name]
    assert transformers.AutoConfig.from_pretrained(tmp_path).model_type == name


@pytest.mark.parametrize("name", OURS)
def test_the_beginning_is_calm(name: str) -> None:
    model = build(OURS[name])
    architecture_of(OURS[name]).initialise(model, 0)
    logits_BTV = model(torch.randint(50, (2, 64)))
    assert torch.isfinite(logits_BTV).all() and float(logits_BTV.detach().std()) < 1


def test_what_is_not_here_is_refused() -> None:
    family, foreign = family_of("mamba"), PEERS["mamba"].to_dict()
    for change, message in (
        ({"hidden_act": "gelu"}, "'hidden_act' = 'gelu' is not understood"),
        ({"rms_norm": False}, "'rms_norm' = False is not understood"),
        ({"intermediate_size": 65}, "intermediate_size is 65, but expand times hidden_size 64"),
    ):
        with pytest.raises(CheckpointError, match=message):
            family.read({**foreign, **change})
    with pytest.raises(CheckpointError, match="num_heads 5 times head_dim 8 is not"):
        family_of("mamba2").read({**PEERS["mamba2"].to_dict(), "num_heads": 5})
    with pytest.raises(ConfigError, match="heads 5: expected a divisor of inner_width 48"):
        MambaConfig(vocab_size=5, width=24, heads=5)
