"""BERT's encoder; see `shizuku.models.encoder`."""

from shizuku.models.architectures import Architecture
from shizuku.models.encoder import Encoder, initialise
from shizuku.models.encoder_config import EncoderConfig

PRESETS = {
    "micro": {"width": 64, "layers": 2, "heads": 2, "ffn_width": 256, "context": 128},
    "tiny": {"width": 128, "layers": 4, "heads": 4, "ffn_width": 512, "context": 128},
    "mini": {"width": 256, "layers": 4, "heads": 4, "ffn_width": 1024, "context": 256},
    "small": {"width": 512, "layers": 4, "heads": 8, "ffn_width": 2048, "context": 512},
    "base": {"width": 768, "layers": 12, "heads": 12, "ffn_width": 3072, "context": 512},
}

ARCHITECTURE = Architecture(
    name="encoder",
    config=EncoderConfig,
    model=Encoder,
    initialise=initialise,
    presets=PRESETS,
    runs="whole",
    lacks=lambda config: () if config.mask_head else ("fill", "score"),
)
