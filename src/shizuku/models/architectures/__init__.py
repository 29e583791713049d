"""The kinds of model there are: one file each, found by its name.

A file defines `ARCHITECTURE`; what it says is all that the rest of the package asks. A config class names its
architecture in the class variable `ARCHITECTURE`, so that a config alone is enough to make its model. To list
the names needs no torch; to look at one imports its file, and with it torch.
"""

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

from shizuku.errors import ConfigError, ModelError
from shizuku.models.decoder_config import DecoderConfig

if TYPE_CHECKING:
    from torch import nn


Runs = Literal["cached", "recurrent", "whole", "pairs"]
"""How a model goes through a text: with keys and values in a cache, with a state of fixed size, all of it at
once (masked language models), or a target beside its source (translation)."""

Ability = Literal["generate", "score", "embed", "label", "judge", "fill", "translate"]
"""What a model can be asked for."""
ABILITIES: Mapping[Runs, tuple[Ability, ...]] = {
    "cached": ("generate", "score", "embed", "label", "judge"),
    "recurrent": ("generate", "score", "embed"),
    "whole": ("fill", "score", "embed", "label"),
    "pairs": ("translate",),
}
"""What follows from how a model goes through a text; a config's `cannot` takes from it."""
_IN_WORDS: Mapping[Ability, str] = {
    "generate": "continue texts (shizuku generate)",
    "score": "be evaluated on text (shizuku eval)",
    "embed": "give vectors of texts (/v1/embeddings)",
    "label": "label texts (shizuku classify)",
    "judge": "judge answers (shizuku reward)",
    "fill": "fill in masked tokens",
    "translate": "translate (shizuku translate; measured by shizuku eval --source --target)",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Architecture:
    """All that is known of one kind of model."""

    name: str
    """What `--architecture` calls it, which is also the file's name."""
    config: type[Any]
    """A frozen dataclass with at least vocab_size and context, and ARCHITECTURE as a class variable."""
    model: "Callable[[Any], nn.Module]"
    """Makes the model from a config, with weights that are only fit to be replaced."""
    initialise: "Callable[[Any, int], None]"
    """Sets every parameter of a model from a seed."""
    presets: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Values for the config by preset name, without the vocabulary; the first is the default."""
    runs: Runs = "cached"
    """How it goes through a text, which settles what computes it and what it can be asked."""


def names() -> tuple[str, ...]:
    """The names of all architectures, the decoder first."""
    found = sorted(module.name.replace("_", "-") for module in pkgutil.iter_modules(__path__))
    return ("decoder", *(name for name in found if name != "decoder"))


@cache
def architecture(name: str) -> Architecture:
    """The architecture of this name; ConfigError lists those there are."""
    if name not in names():
        raise ConfigError(f"--architecture {name}: expected one of {', '.join(names())}")
    found: Architecture = importlib.import_module(f"{__name__}.{name.replace('-', '_')}").ARCHITECTURE
    assert found.name == name, "an architecture is called as its file"
    return found


def config_class(name: str) -> type[Any]:
    """The config class of an architecture; that of decoders comes without torch."""
    return DecoderConfig if name == "decoder" else architecture(name).config


def architecture_of(config: Any) -> Architecture:
    """The architecture that a config is of."""
    return architecture(type(config).ARCHITECTURE)


def abilities_of(config: Any) -> tuple[Ability, ...]:
    """What a model of this config can be asked for; of decoders it is known without torch."""
    runs = "cached" if isinstance(config, DecoderConfig) else architecture_of(config).runs
    return tuple(each for each in ABILITIES[runs] if each not in getattr(config, "cannot", ()))


def require(config: Any, ability: Ability) -> None:
    """ModelError, which says what it can do, where a model of this config has not this ability."""
    if ability not in abilities_of(config):
        raise unable(config, _IN_WORDS[ability])


def unable(config: Any, wish: str) -> ModelError:
    """The refusal of a wish that a model of this config cannot fulfil, with what it can do."""
    able = ", ".join(_IN_WORDS[each] for each in abilities_of(config))
    return ModelError(
        f"a model of the architecture {config.ARCHITECTURE} cannot {wish}: what it can do is {able}"
    )


def build(config: Any) -> Any:
    """Make the model of a config, with weights that are only fit to be replaced."""
    return architecture_of(config).model(config)
