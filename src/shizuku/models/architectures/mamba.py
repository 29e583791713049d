"""Mamba, as one architecture among others; see `shizuku.models.mamba`."""

from shizuku.models.architectures import Architecture
from shizuku.models.mamba import Mamba, MambaConfig, initialise

ARCHITECTURE = Architecture(
    name="mamba",
    config=MambaConfig,
    model=Mamba,
    initialise=initialise,
    presets={
        "tiny": {"width": 128, "layers": 4, "heads": 8, "state_width": 32},
        "micro": {"width": 64, "layers": 2, "heads": 4, "context": 128},
        "mini": {"width": 192, "layers": 6, "heads": 8, "state_width": 32},
        "small": {"width": 384, "layers": 6, "heads": 12, "state_width": 64},
    },
    runs="recurrent",
)
