"""Maps are what the model computes: for every family, summing to one, and with clear errors."""

import threading
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from peers import CONFIGS, difference, ours, peer, randomise, token_ids

from shizuku.checkpoints.directory import load_model
from shizuku.errors import ModelError
from shizuku.interpretability.maps import attention_maps
from shizuku.models.architectures import architecture, build
from shizuku.models.hooks import hooked, recorded
from small_models import small_model


@pytest.mark.parametrize("name", CONFIGS)
@torch.no_grad()
def test_maps_equal_those_of_transformers_and_hooks_change_nothing(name: str, tmp_path: Path) -> None:
    theirs = peer(name)
    model, ids_BT = ours(theirs, tmp_path), token_ids(1, 24)
    maps_LHTT = attention_maps(model, ids_BT[0])
    assert maps_LHTT.dtype == np.float32 and maps_LHTT.shape[2:] == (24, 24)
    np.testing.assert_allclose(maps_LHTT.sum(-1), 1, atol=1e-5)
    expected = torch.stack([one[0] for one in theirs(ids_BT, output_attentions=True).attentions])
    np.testing.assert_allclose(maps_LHTT, expected.numpy(), atol=1e-5)
    plain = model(ids_BT)
    with recorded(model, "*.pattern"):
        assert difference(model(ids_BT), plain) < 1e-5
    assert model.hooks is None


@torch.no_grad()
def test_an_encoder_has_maps_by_the_same_names(tmp_path: Path) -> None:
    config = CONFIGS["gpt2"]
    theirs = transformers.BertModel._from_config(
        transformers.BertConfig(
            vocab_size=config.vocab_size, hidden_size=96, intermediate_size=160, num_hidden_layers=3,
            num_attention_heads=6, max_position_embeddings=128,
        ),
        attn_implementation="eager",
    ).eval()  # fmt: skip
    randomise(theirs)
    theirs.save_pretrained(tmp_path)
    maps_LHTT = attention_maps(load_model(tmp_path), token_ids(1, 24)[0])
    expected = torch.stack([one[0] for one in theirs(token_ids(1, 24), output_attentions=True).attentions])
    np.testing.assert_allclose(maps_LHTT, expected.numpy(), atol=1e-5)
    assert np.triu(maps_LHTT, 1).any() and np.allclose(maps_LHTT.sum(-1), 1, atol=1e-5)


def test_layers_and_heads_are_parts_of_the_whole() -> None:
    model, ids = small_model(), [5, 9, 7, 30]
    whole = attention_maps(model, ids)
    assert whole.shape == (2, 4, 4, 4)
    part = attention_maps(model, ids, layers=[1], heads=[3, 0])
    np.testing.assert_allclose(part, whole[[1]][:, [3, 0]], atol=1e-6)
    assert np.array_equal(attention_maps(model, torch.tensor(ids), places="blocks.0.*.pattern"), whole[:1])


@pytest.mark.parametrize(
    ("ids", "named", "message"),
    [
        ([], {}, "ids of one text"),
        ([[1, 2]], {}, "ids of one text"),
        ([1, 400], {}, "token ids run from 1 to 400"),
        ([1] * 33, {}, "more than the model's context"),
        ([1, 2], {"layers": [2]}, "layer 2 was asked for: this model has layers 0 to 1"),
        ([1, 2], {"heads": [-1]}, "head -1 was asked for"),
        ([1, 2], {"places": "encoder.*"}, "no attention is called"),
        ([1] * 30, {"most_bytes": 10_000}, "shorten the text to 17 tokens, or choose with --layer"),
    ],
)
def test_what_cannot_be_shown_is_refused(ids: list[int], named: dict, message: str) -> None:
    model = small_model()
    with pytest.raises(ModelError, match=message):
        attention_maps(model, ids, **named)
    assert model.hooks is None


@pytest.mark.parametrize("name", ["lstm", "mamba", "recurrent"])
def test_models_without_attention_say_so(name: str) -> None:
    kind = architecture(name)
    model = build(kind.config(vocab_size=20, **next(iter(kind.presets.values()))))
    with pytest.raises(ModelError, match="has no attention"):
        attention_maps(model, [1])


def test_threads_see_only_their_own_hooks_and_wait_for_each_other() -> None:
    model, ids = small_model(), [3, 1, 4, 1, 5]
    with torch.no_grad():
        plain = model(torch.tensor([ids]))
    seen: dict[str, object] = {}
    inside, go = threading.Event(), threading.Event()

    def silence() -> None:
        with torch.no_grad(), hooked(model, {"blocks.0.attention": lambda x, name: torch.zeros_like(x)}):
            inside.set()
            go.wait(10)
            seen["silenced"] = model(torch.tensor([ids]))

    first = threading.Thread(target=silence)
    second = threading.Thread(target=lambda: seen.update(maps=attention_maps(model, ids)))
    first.start()
    assert inside.wait(10)
    with torch.no_grad():
        assert torch.equal(model(torch.tensor([ids])), plain)
    second.start()
    go.set()
    first.join(10), second.join(10)
    assert not torch.equal(seen["silenced"], plain)
    assert np.array_equal(seen["maps"], attention_maps(model, ids))
