"""The flags that verbs which make text share."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from shizuku.config import VerbConfig, check_threads
from shizuku.errors import ConfigError

if TYPE_CHECKING:
    from shizuku.language_model import LanguageModel


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelFlags(VerbConfig):
    """Which model, and how much of the machine."""

    model: tyro.conf.Positional[str | None] = None
    """A name (`shizuku list`), a checkpoint directory, a Hugging Face directory, or a .gguf file."""
    m: Annotated[str | None, tyro.conf.arg(aliases=["-m"])] = None
    """The model again, for fingers that type `-m MODEL`."""
    context: Annotated[int | None, tyro.conf.arg(aliases=["-c"])] = None
    """Window in tokens; none: the model's own."""
    threads: Annotated[int | None, tyro.conf.arg(aliases=["-t"])] = None
    """Threads to compute with; none: as many as there are processors."""
    runtime: Literal["auto", "native", "torch"] = "auto"
    """What computes: the native library with packed weights, torch with unpacked ones, or what can."""
    cache: Literal["auto", "f32", "f16", "int8"] = "auto"
    """Type of the native cache; auto: f16 beside packed integers, f32 beside floats."""
    speculative_tokens: int = 0
    """Most tokens to guess ahead in one step, from the text itself or by --draft; the text stays the same."""
    draft: str | None = None
    """A smaller model of the same vocabulary, which guesses."""

    def chosen(self, default: str | None = None) -> str:
        """The model asked for, or `default`; ConfigError if there is none, or two different ones."""
        if self.model and self.m and self.model != self.m:
            raise ConfigError(f"two models were given, {self.model} and -m {self.m}: leave one out")
        name = self.model or self.m or default
        if name is None:
            raise ConfigError(
                "say which model: a name (`shizuku list` shows them), a directory or a .gguf file"
            )
        return name

    def load(self, default: str | None = None) -> "LanguageModel":
        """The model, after setting the threads; raises as `LanguageModel.load`, ConfigError for the flags."""
        name = self.chosen(default)
        check_threads(self.threads)
        from dataclasses import replace

        from shizuku.language_model import OWN_ENGINE, LanguageModel

        return LanguageModel.load(
            name,
            context=self.context,
            threads=self.threads,
            runtime=self.runtime,
            cache=self.cache,
            draft=self.draft,
            engine=replace(OWN_ENGINE, speculative_tokens=self.speculative_tokens),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class GenerationFlags(ModelFlags):
    """How text is made; what is left out comes from the checkpoint's generation_config.json."""

    adapter: Path | None = None
    """Directory of an adapter that acts beside the model, unmerged."""
    another_base: bool = False
    """Take an adapter that was trained on another base than the model, say on its unpacked form."""
    max_new_tokens: Annotated[int | None, tyro.conf.arg(aliases=["-n", "--max-tokens"])] = None
    """Most tokens to make; none: what the window has room for, at most 512."""
    temperature: Annotated[float | None, tyro.conf.arg(aliases=["--temp"])] = None
    """Divides the logits; 0 always takes the best token."""
    top_k: int | None = None
    """Keep only the k best tokens."""
    top_p: float | None = None
    """Keep the fewest best tokens whose probabilities sum to at least this."""
    min_p: float | None = None
    """Keep tokens at least this many times as probable as the best one."""
    repetition_penalty: float | None = None
    """Above 1, tokens that have already occurred become less likely."""
    seed: int | None = None
    """Seed of the draws: the same seed gives the same text."""
    stop: tuple[str, ...] = ()
    """Strings that end the text."""

    def load(self, default: str | None = None) -> "LanguageModel":
        """The model with the adapter acting, if there is one; raises as `LanguageModel.add_adapter` too."""
        if self.adapter is not None:
            from shizuku.checkpoints.adapter_reading import check_adapter

            check_adapter(self.adapter)
        # Dataclasses with slots are made anew, so that `super()` without arguments doesn't find the class.
        lm = ModelFlags.load(self, default)
        if self.adapter is None:
            return lm
        lm.add_adapter(str(self.adapter), self.adapter, another_base=self.another_base)
        return lm.adapted(str(self.adapter))

    def settings(self) -> dict[str, Any]:
        """The settings that were given; ConfigError for an impossible one, before any model is loaded."""
        from shizuku.config import from_dict
        from shizuku.inference.settings import GenerationSettings

        names = ("max_new_tokens", "temperature", "top_k", "top_p", "min_p", "repetition_penalty", "seed")
        given = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        if self.stop:
            given["stop"] = self.stop
        from_dict(GenerationSettings, given)
        return given
