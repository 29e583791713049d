"""Shapes of decoders by name, as values for DecoderConfig without the vocabulary; nothing here needs torch.

`micro` to `base` are Qwen3-shaped (RMS norms, SwiGLU, rotary positions, query and key norms, tied
embeddings), so that other programs open them; their heads are narrow, as suits narrow models. `gpt2-small`
and `smollm2-135m` are the published shapes.
"""

from typing import Any, Literal

PresetName = Literal["micro", "tiny", "mini", "small", "base", "gpt2-small", "smollm2-135m"]

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
}
"""Values for DecoderConfig by preset name."""
