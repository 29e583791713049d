"""The decoder with experts, in shapes of its own: the same model as `decoder`, and the same config.

Each shape has 8 experts of half the dense layer's width, of which a token goes through 2: as many operations
a token as the decoder's preset of that name, and about three times its parameters. They are Qwen3-MoE-shaped,
so that other programs open them.
"""

from typing import Any

from shizuku.models.architectures import Architecture
from shizuku.models.decoder import Decoder, initialise
from shizuku.models.decoder_config import DecoderConfig

_OURS: dict[str, Any] = {
    "qk_norm": True, "tie_embeddings": True, "context": 256, "experts": 8, "experts_per_token": 2,
    "balance_coefficient": 0.1,
}  # fmt: skip
PRESETS: dict[str, dict[str, Any]] = {
    "tiny": {**_OURS, "width": 128, "layers": 4, "heads": 4, "ffn_width": 352, "expert_width": 176},
    "micro": {
        **_OURS, "width": 64, "layers": 2, "heads": 2, "ffn_width": 192, "expert_width": 96, "context": 128,
    },
    "mini": {**_OURS, "width": 192, "layers": 6, "heads": 6, "ffn_width": 512, "expert_width": 256},
    "small": {**_OURS, "width": 384, "layers": 6, "heads": 6, "ffn_width": 1024, "expert_width": 512},
    "base": {
        **_OURS, "width": 512, "layers": 10, "heads": 8, "ffn_width": 1376, "expert_width": 688,
        "context": 512,
    },
}  # fmt: skip

ARCHITECTURE = Architecture(
    name="moe", config=DecoderConfig, model=Decoder, initialise=initialise, presets=PRESETS
)
