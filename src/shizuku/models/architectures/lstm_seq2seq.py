"""Two LSTMs, with attention between them or without; see `shizuku.models.lstm_seq2seq`."""

from shizuku.models.architectures import Ability, Architecture
from shizuku.models.lstm_seq2seq import LSTMSeq2Seq, LSTMSeq2SeqConfig, initialise


def _lacks(config: LSTMSeq2SeqConfig) -> tuple[Ability, ...]:
    return ("look",) if config.attention == "none" else ()


ARCHITECTURE = Architecture(
    name="lstm-seq2seq",
    config=LSTMSeq2SeqConfig,
    model=LSTMSeq2Seq,
    initialise=initialise,
    presets={
        "micro": {"width": 64, "embedding_width": 64, "attention_width": 64, "layers": 1, "context": 64},
        "tiny": {"width": 320, "embedding_width": 192, "attention_width": 192, "layers": 1, "context": 128},
        "small": {"width": 512, "embedding_width": 256, "attention_width": 256, "layers": 2, "context": 256},
        "base": {"width": 1024, "embedding_width": 512, "attention_width": 512, "layers": 2, "context": 512},
    },
    runs="pairs",
    lacks=_lacks,
)
