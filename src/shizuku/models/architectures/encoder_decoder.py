"""The encoder-decoder of the original Transformer; see `shizuku.models.encoder_decoder`."""

from shizuku.models.architectures import Architecture
from shizuku.models.encoder_decoder import EncoderDecoder, EncoderDecoderConfig, initialise

ARCHITECTURE = Architecture(
    name="encoder-decoder",
    config=EncoderDecoderConfig,
    model=EncoderDecoder,
    initialise=initialise,
    presets={
        "micro": {
            "width": 64, "encoder_layers": 2, "decoder_layers": 2, "heads": 4, "ffn_width": 128,
            "context": 64,
        },
        "tiny": {
            "width": 192, "encoder_layers": 3, "decoder_layers": 3, "heads": 6, "ffn_width": 768,
            "context": 128,
        },
        "small": {
            "width": 256, "encoder_layers": 4, "decoder_layers": 4, "heads": 8, "ffn_width": 1024,
            "context": 256,
        },
        "base": {
            "width": 512, "encoder_layers": 6, "decoder_layers": 6, "heads": 8, "ffn_width": 2048,
            "context": 512,
        },
    },
    runs="pairs",
)  # fmt: skip
