"""Shapes of decoders by name, as values for DecoderConfig without the vocabulary, and the settings of a run
that some of them bring along; nothing here needs torch.

`micro` to `base` are Qwen3-shaped (RMS norms, SwiGLU, rotary positions, query and key norms, tied
embeddings), so that other programs open them; their heads are narrow, as suits narrow models. `gpt2-small`
and `smollm2-135m` are the published shapes. `characters` learns one small text, character by character, in
seconds.
"""

from typing import Any, Literal

PresetName = Literal["micro", "tiny", "mini", "small", "base", "gpt2-small", "smollm2-135m", "characters"]

_OURS: dict[str, Any] = {"qk_norm": True, "tie_embeddings": True, "context": 256}

PRESETS: dict[PresetName, dict[str, Any]] = {
    "micro": {**_OURS, "width": 64, "layers": 2, "heads": 2, "ffn_width": 192, "context": 128},
    "tiny": {**_OURS, "width": 128, "layers": 4, "heads": 4, "ffn_width": 352},
    "mini": {**_OURS, "width": 192, "layers": 6, "heads": 6, "ffn_width": 512},
    "small": {**_OURS, "width": 384, "layers": 6, "heads": 6, "ffn_width": 1024},
    "base": {**_OURS, "width": 512, "layers": 10, "heads": 8, "ffn_width": 1376, "context": 512},
    "gpt2-small": {
        "width": 768,
        "layers": 12,
        "heads": 12,
        "ffn_width": 3072,
        "context": 1024,
        "norm": "layernorm",
        "norm_eps": 1e-5,
        "norm_bias": True,
        "positions": "learned",
        "activation": "gelu_tanh",
        "gated": False,
        "attention_bias": True,
        "attention_output_bias": True,
        "mlp_bias": True,
    },
    "smollm2-135m": {
        "width": 576,
        "layers": 30,
        "heads": 9,
        "kv_heads": 3,
        "ffn_width": 1536,
        "context": 8192,
        "norm_eps": 1e-5,
        "rope_theta": 100_000.0,
    },
    "characters": {
        "width": 128,
        "layers": 4,
        "heads": 4,
        "ffn_width": 512,
        "context": 64,
        "qk_norm": True,
        "activation": "relu2",
        "gated": False,
    },
}
"""Values for DecoderConfig by preset name."""

RUNS: dict[PresetName, dict[str, Any]] = {
    "characters": {
        "vocabulary": "characters",
        "vocab_size": None,
        "batch_size": 20,
        "boundaries": False,
        "loop": {
            "steps": 160,
            "clip": None,
            "optimizer": {"muon_momentum": 0.8},
            "schedule": {"decay": 0.8},
        },
    },
}
"""Values for TrainConfig that a preset brings along: what a flag or a file says goes before them."""


def _pairs(**optimizer: float) -> dict[str, Any]:
    """What translation models bring along, beside rates of their own."""
    return {
        "vocab_size": 6000,
        "loop": {"dropout": 0.1, "optimizer": optimizer, "schedule": {"warmup": 0.05, "decay": 0.6}},
    }


_LSTM = {"embedding_learning_rate": 0.03, "muon_learning_rate": 0.08}
ARCHITECTURE_RUNS: dict[str, dict[str, Any]] = {
    "encoder": {
        "vocabulary": "wordpiece",  # it needs [CLS], [SEP] and [MASK]
        "loop": {  # its norms stand after the sums, and the decoders' rates stall it (docs/lab-notes.md)
            "optimizer": {
                "learning_rate": 0.001,
                "embedding_learning_rate": 0.003,
                "muon_learning_rate": 0.01,
            },
            "schedule": {"warmup": 0.1},
        },
    },
    "encoder-decoder": _pairs(muon_learning_rate=0.015),
    "lstm": {"loop": {"optimizer": _LSTM}},
    "lstm-seq2seq": _pairs(**_LSTM),
}
"""The same for architectures; how the rates were found is in docs/lab-notes.md."""
