"""Two real GPTs that were trained by somebody else, in NumPy: the same logits here, and sensible language."""

import importlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from shizuku.checkpoints.gguf import half_split
from shizuku.models.decoder import Decoder, DecoderConfig, parameter_count

TEXTS = {
    "en": "It was a bright morning, and the old man was sitting by the window, looking at the sea.",
    "pt": "Era uma manhã clara, e o velho estava sentado junto da janela, a olhar para o mar.",
}


def converted(path: Path) -> Decoder:
    """The model of an .npz file; its rotary positions turn neighbouring pairs, ours halves."""
    with np.load(path) as arrays:
        theirs = json.loads(str(arrays["__config__"]))
        tensors = {
            name: torch.from_numpy(arrays[name].astype(np.float32)) for name in arrays if name[0] != "_"
        }
    config = DecoderConfig(
        vocab_size=theirs["vocab_size"], context=theirs["max_len"], width=theirs["d_model"],
        layers=theirs["n_layers"], heads=theirs["n_heads"], kv_heads=theirs["n_kv_heads"],
        ffn_width=tensors["blocks.0.ffn.W1"].shape[1], norm_eps=theirs["eps"], rope_theta=theirs["rope_base"],
    )  # fmt: skip
    weights = {"embedding.weight": tensors["E"], "final_norm.weight": tensors["norm_f.gamma"]}
    for n in range(config.layers):
        block = {name: torch.atleast_2d(tensors[f"blocks.{n}.{name}"]).T.squeeze(1) for name in _NAMES}
        block["attn.W_Q"] = half_split(block["attn.W_Q"], config.heads)
        block["attn.W_K"] = half_split(block["attn.W_K"], config.kv_heads)
        weights |= {f"blocks.{n}.{_NAMES[name]}.weight": value for name, value in block.items()}
    model = Decoder(config).eval()
    model.load_state_dict(weights)
    return model


_NAMES = {
    "norm1.gamma": "attention_norm", "attn.W_Q": "attention.query", "attn.W_K": "attention.key",
    "attn.W_V": "attention.value", "attn.W_O": "attention.output", "norm2.gamma": "feedforward_norm",
    "ffn.W1": "feedforward.gate", "ffn.W3": "feedforward.up", "ffn.W2": "feedforward.down",
}  # fmt: skip


@pytest.mark.parametrize("language", TEXTS)
@torch.no_grad()
def test_real_gpts_of_another_hand_run_sensibly(
    language: str, glassllm_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(glassllm_weights.parents[1]))
    theirs = importlib.import_module("glassllm.model").GlassLM.load(glassllm_weights / f"{language}.npz")
    tokenizer = importlib.import_module("glassllm.tokenizer").Tokenizer
    model = converted(glassllm_weights / f"{language}.npz")
    assert 800_000 < parameter_count(model) < 900_000
    ids = tokenizer.load(glassllm_weights / f"{language}.tokenizer.json").encode(TEXTS[language])
    logits_TV = model(torch.tensor([ids]))[0]
    expected_TV = torch.from_numpy(theirs(ids).data[0])
    assert (logits_TV - expected_TV).abs().max() < 2e-5 * expected_TV.std()
    own = F.cross_entropy(logits_TV[:-1], torch.tensor(ids[1:])).item()
    shuffled = torch.tensor(ids)[torch.randperm(len(ids), generator=torch.Generator().manual_seed(0))]
    nonsense = F.cross_entropy(model(shuffled[None])[0, :-1], shuffled[1:]).item()
    uniform = float(np.log(model.config.vocab_size))
    assert own < 0.75 * uniform
    assert own < nonsense - 1.0
