"""Models of a size that is asked for."""

import pytest

from shizuku.errors import ConfigError
from shizuku.models.architectures import architecture, names
from shizuku.training.cost import parameter_total
from shizuku.training.sizing import sized


@pytest.mark.parametrize("name", [name for name in names() if architecture(name).runs != "pairs"])
def test_every_architecture_comes_in_the_size_that_is_asked_for(name: str) -> None:
    config = sized(name, "tiny", parameters=600_000, vocab_size=512, context=64)
    assert (config.vocab_size, config.context) == (512, 64)
    assert parameter_total(config) == pytest.approx(600_000, rel=0.1)


def test_settings_go_before_the_preset() -> None:
    config = sized("recurrent", "tiny", parameters=300_000, vocab_size=512, layers=2)
    assert config.layers == 2 and config.key_width < 32


def test_what_cannot_be_had_is_said() -> None:
    with pytest.raises(ConfigError, match=r"lstm:huge: the presets of lstm are tiny, "):
        sized("lstm", "huge", parameters=100_000, vocab_size=512)
    with pytest.raises(ConfigError, match=r"parameters at its narrowest: allow more than 1,000"):
        sized("lstm", "tiny", parameters=1_000, vocab_size=5_000)
