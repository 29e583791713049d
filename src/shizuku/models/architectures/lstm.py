"""The stacked LSTM, as one architecture among others; see `shizuku.models.lstm`."""

from shizuku.models.architectures import Architecture
from shizuku.models.lstm import LSTM, LSTMConfig, initialise

ARCHITECTURE = Architecture(
    name="lstm",
    config=LSTMConfig,
    model=LSTM,
    initialise=initialise,
    presets={
        "tiny": {"width": 192, "layers": 2},
        "micro": {"width": 96, "layers": 1, "context": 128},
        "mini": {"width": 320, "layers": 2},
        "small": {"width": 640, "layers": 2},
    },
    runs="recurrent",
)
