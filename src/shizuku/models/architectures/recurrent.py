"""The gated delta network, as one architecture among others; see `shizuku.models.gated_delta`."""

from shizuku.models.architectures import Architecture
from shizuku.models.gated_delta import GatedDeltaConfig, GatedDeltaNet, initialise

_HEADS = {"key_width": 32, "value_width": 64}
"""Keys take half the stream's width and values all of it, as in Qwen3.5."""

ARCHITECTURE = Architecture(
    name="recurrent",
    config=GatedDeltaConfig,
    model=GatedDeltaNet,
    initialise=initialise,
    presets={
        "tiny": {**_HEADS, "width": 128, "layers": 4, "heads": 2, "ffn_width": 352},
        "micro": {**_HEADS, "width": 64, "layers": 2, "heads": 1, "ffn_width": 192, "context": 128},
        "mini": {**_HEADS, "width": 192, "layers": 6, "heads": 3, "ffn_width": 512},
        "small": {**_HEADS, "width": 384, "layers": 6, "heads": 6, "ffn_width": 1024},
    },
    runs="recurrent",
)
