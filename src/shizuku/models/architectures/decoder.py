"""The decoder, as one architecture among others; see `shizuku.models.decoder`."""

from shizuku.models.architectures import Architecture
from shizuku.models.decoder import Decoder, initialise
from shizuku.models.decoder_config import DecoderConfig

ARCHITECTURE = Architecture(name="decoder", config=DecoderConfig, model=Decoder, initialise=initialise)
