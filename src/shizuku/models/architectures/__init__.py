"""The kinds of model there are: one file each, found by its name.

A file defines `ARCHITECTURE`; what it says is all that the rest of the package asks. A config class names its
architecture in the class variable `ARCHITECTURE`, so that a config alone is enough to make its model. To list
the names needs no torch; to look at one imports its file, and with it torch.
"""

import importlib
import pkgutil
from collections.abc import Callable, Collection, Mapping
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

Ability = Literal["generate", "score", "embed", "head", "fill", "translate", "measure pairs", "look"]
"""What a model can be asked for."""
ABILITIES: Mapping[Runs, tuple[Ability, ...]] = {
    "cached": ("generate", "score", "embed", "head"),
    "recurrent": ("generate", "score", "embed"),
    "whole": ("fill", "score", "embed", "head"),
    "pairs": ("translate", "measure pairs", "look"),
}
"""What follows from how a model goes through a text."""
_IN_WORDS: Mapping[Ability, tuple[str, str]] = {
    "generate": ("continue texts", "shizuku generate"),
    "score": ("be evaluated on text", "shizuku eval --text FILE"),
    "embed": ("give vectors of texts", "/v1/embeddings"),
    "head": ("carry a head", "shizuku classify"),
    "fill": ("fill in masked tokens", ""),
    "translate": ("translate", "shizuku translate"),
    "measure pairs": ("be evaluated on pairs", "shizuku eval --source FILE --target FILE"),
    "look": ("show where it looks", "shizuku translate --attention FILE"),
}
"""What each is called, and how to have it."""


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
    lacks: "Callable[[Any], Collection[Ability]]" = lambda config: ()
    """What models of a config can't be asked for, though others of the architecture can."""


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
    if isinstance(config, DecoderConfig):
        return ABILITIES["cached"]
    found = architecture_of(config)
    missing = found.lacks(config)
    return tuple(each for each in ABILITIES[found.runs] if each not in missing)


def require(config: Any, ability: Ability, wish: str | None = None) -> None:
    """ModelError, which says what it can do, where a model of this config has not this ability.

    `wish` says what was asked for, where that is not the ability itself.
    """
    able = abilities_of(config)
    if ability not in able:
        bare = " without a head for it" if ability in ABILITIES[architecture_of(config).runs] else ""
        raise ModelError(
            f"a model of the architecture {config.ARCHITECTURE}{bare} cannot "
            f"{wish or _IN_WORDS[ability][0]}, which this needs: what it can do is "
            f"{', '.join(_said(each, able) for each in able)}"
        )


def _said(ability: Ability, able: Collection[Ability]) -> str:
    what, how = _IN_WORDS[ability]
    if ability == "head" and "generate" in able:
        how += ", shizuku reward"  # which reads answers to prompts
    return f"{what} ({how})" if how else what


def build(config: Any) -> Any:
    """Make the model of a config, with weights that are only fit to be replaced."""
    return architecture_of(config).model(config)
