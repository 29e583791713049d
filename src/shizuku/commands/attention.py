"""`shizuku attention`: where every head of a model looks, and what heads do for an answer."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from shizuku.config import VerbConfig, check_seed, check_threads
from shizuku.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np

    from shizuku.interpretability.page import Shown
    from shizuku.language_model import LanguageModel

KINDS = (".html", ".png", ".svg")
SHOWN = 10
"""Heads that are named."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(VerbConfig):
    """Show where every head of a model looks while it reads a text, as one page that works offline; and with
    --effect, which heads an answer depends on.
    """

    model: tyro.conf.Positional[str]
    """A name (`shizuku list`), a checkpoint directory, a Hugging Face directory, or a .gguf file. Packed
    weights are opened as a torch module in float32 for this."""
    text: Annotated[str, tyro.conf.arg(aliases=["-p"])]
    """The text that is read; with --effect patch the clean one."""
    out: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None
    """Where the picture goes: .html (every head, with tokens to point at), .png, or .svg (one head)."""
    layer: int | None = None
    """Only this layer, counted from 0; none: all."""
    head: int | None = None
    """Only this head of each layer, counted from 0; none: all."""
    from_token: str | None = None
    """The word to look from (its last occurrence), such as it."""
    to_token: str | None = None
    """The word to look at: the heads that look most from the one to the other are ranked."""
    effect: Literal["patch", "zero", "mean", "resample"] | None = None
    """What each head does for --answers: patch puts it, as it is on --text, into the run on --other-text;
    zero, mean and resample take it out of the run on --text."""
    other_text: str | None = None
    """A text of as many tokens that has the other answer; for mean and resample, what a head reads there is
    what it is replaced with."""
    answers: tuple[str, str] | None = None
    """The right next word and the wrong one, with their spaces: " animal" " street"."""
    known: bool = False
    """Score every head as induction head and previous-token head, on random tokens said twice."""
    seed: int = 0
    """Of the random tokens."""
    threads: Annotated[int | None, tyro.conf.arg(aliases=["-t"])] = None
    """Threads to compute with; none: as many as there are processors."""

    def __post_init__(self) -> None:
        check_threads(self.threads)
        check_seed(self.seed)
        if self.out is not None and self.out.suffix not in KINDS:
            raise ConfigError(f"--out {self.out}: expected a name that ends in {', '.join(KINDS)}")

    def check(self) -> None:
        """ConfigError for a flag that needs another one, before any model is loaded."""
        if self.to_token is not None and self.from_token is None:
            raise ConfigError("--to-token needs --from-token, the word that looks there")
        if self.effect is not None and self.answers is None:
            raise ConfigError('--effect needs --answers, the right next word and the wrong one: " yes" " no"')
        if self.effect in ("patch", "resample") and self.other_text is None:
            raise ConfigError(f"--effect {self.effect} needs --other-text, a text of as many tokens")
        if self.effect is None and (self.answers is not None or self.other_text is not None):
            raise ConfigError("--answers and --other-text are for --effect: say which (patch, zero, …)")


def run(config: Config) -> dict[str, Any]:
    """Make what was asked for; where it is, and the figures."""
    config.check()
    from shizuku.language_model import LanguageModel

    lm = LanguageModel.load(config.model, threads=config.threads)
    if config.threads is not None:
        import torch

        torch.set_num_threads(config.threads)
    begun = time.perf_counter()
    shown = _maps(config, lm)
    result: dict[str, Any] = {
        "model": config.model,
        "tokens": list(shown.tokens),
        "layers": list(shown.layers),
        "heads": list(shown.heads),
        "row_error": float(abs(shown.maps_LHTT.sum(-1) - 1).max()),
        **_ranking(config, lm, shown),
        **(_known(config, lm) if config.known else {}),
    }
    if len(shown.layers) == len(shown.heads) == 1:
        result["weights"] = [[round(float(one), 6) for one in row] for row in shown.maps_LHTT[0, 0]]
    effects = _effects(config, lm) if config.effect else None
    if effects is not None:
        result["effect"] = effects
    result["seconds"] = round(time.perf_counter() - begun, 3)
    if config.out is not None:
        from shizuku.commands.attention_out import write

        result["out"] = str(write(config, shown, result))
    return result


def _maps(config: Config, lm: "LanguageModel") -> "Shown":
    from shizuku.inference.embedding import ids_to_embed
    from shizuku.interpretability.maps import attention_maps, pattern_names
    from shizuku.interpretability.page import Shown
    from shizuku.interpretability.pairs import find_word
    from shizuku.text.spelling import spellings

    ids = ids_to_embed(lm.engine, lm.tokenizer, config.text)
    model: Any = lm.model
    layers, heads = (None if one is None else [one] for one in (config.layer, config.head))
    maps_LHTT = attention_maps(model, ids, layers=layers, heads=heads)
    tokens = spellings(lm.tokenizer, ids)
    places = [
        [] if word is None else find_word(tokens, word, name=name)
        for name, word in (("from-token", config.from_token), ("to-token", config.to_token))
    ]
    return Shown(
        maps_LHTT,
        tokens,
        layers or range(len(pattern_names(model))),
        heads or range(maps_LHTT.shape[1]),
        *places,
    )


def _ranking(config: Config, lm: "LanguageModel", shown: "Shown") -> dict[str, Any]:
    if not shown.target:
        return {}
    from shizuku.interpretability.pairs import looks

    if (
        config.to_token is not None
        and "fill" not in lm.capabilities
        and min(shown.target) > max(shown.source)
    ):
        raise ConfigError(
            f"--to-token {config.to_token!r} comes after {config.from_token!r}, and this model reads from "
            "left to right: nothing looks ahead. Exchange the two words"
        )
    values_LH = looks(shown.maps_LHTT, shown.source, shown.target)
    return {"ranking": _named(values_LH, shown.layers, shown.heads)}


def _named(
    values_LH: "np.ndarray", layers: Any, heads: Any, *, size: bool = False
) -> list[dict[str, int | float]]:
    from shizuku.interpretability.pairs import ranked

    return [
        {"layer": layers[one.layer], "head": heads[one.head], "value": round(one.value, 6)}
        for one in ranked(values_LH, SHOWN, size=size)
    ]


def _known(config: Config, lm: "LanguageModel") -> dict[str, Any]:
    from shizuku.interpretability.known_heads import known_heads

    model: Any = lm.model
    marks = {*lm.tokenizer.control, lm.tokenizer.document_start_id}
    ids = [token for token in range(lm.tokenizer.vocab_size) if token not in marks]
    length = min(50, (lm.context - 1) // 2, len(ids))
    found = known_heads(
        model,
        length=length,
        ids=ids,
        start=lm.tokenizer.document_start_id,
        seed=config.seed,
    )
    numbers = range(found.induction.shape[0]), range(found.induction.shape[1])
    return {
        "known": {name: _named(getattr(found, name), *numbers) for name in ("induction", "previous")},
        "repeated_tokens": length,
    }


def _effects(config: Config, lm: "LanguageModel") -> dict[str, Any]:
    from shizuku.errors import ModelError
    from shizuku.interpretability.effects import ablation_effects, patch_effects
    from shizuku.interpretability.patching import logit_difference

    assert config.answers is not None and config.effect is not None, "checked with the flags"
    if "generate" not in lm.capabilities:
        raise ModelError(f"{config.model} writes no next word: --effect is for models that continue text")
    right, wrong = (lm.tokenizer.encode(answer)[:1] for answer in config.answers)
    if not right or not wrong or right == wrong:
        raise ModelError(
            f"--answers {config.answers[0]!r} {config.answers[1]!r}: their first tokens must be two"
        )
    score = logit_difference(right[0], wrong[0])
    model: Any = lm.model
    ids, others = lm.prompt_ids(config.text), [lm.prompt_ids(one) for one in [config.other_text] if one]
    found: dict[str, Any] = {"kind": config.effect, "answers": list(config.answers)}
    if config.effect == "patch":
        parts = {
            by: patch_effects(model, ids, others[0], score, by=by) for by in ("head", "layer", "position")
        }
        by_head = parts["head"]
        found |= {
            "by_layer": parts["layer"].values.tolist(),
            "by_position": parts["position"].values.tolist(),
        }
    else:
        by_head = ablation_effects(model, ids, score, how=config.effect, reference=others, seed=config.seed)
    numbers = range(by_head.values.shape[0]), range(by_head.values.shape[1])
    return found | {
        "clean": by_head.clean,
        "corrupted": by_head.corrupted,
        "by_head": by_head.values.tolist(),
        "heads": _named(by_head.values, *numbers, size=True),
    }


def show(result: dict[str, Any]) -> None:
    """The figures, a table each, and where the picture is."""
    print(f"{len(result['tokens'])} tokens, {len(result['layers'])} layers, {len(result['heads'])} heads")
    for title, rows in (
        ("from the one word to the other, share", result.get("ranking", ())),
        ("induction heads, share", result.get("known", {}).get("induction", ())[:5]),
        ("previous-token heads, share", result.get("known", {}).get("previous", ())[:5]),
        (
            f"effect of a head ({result.get('effect', {}).get('kind')})",
            result.get("effect", {}).get("heads", ()),
        ),
    ):
        if rows:
            print(f"\n{title}")
        for row in rows:
            print(f"  layer {row['layer']:>2}  head {row['head']:>2}  {row['value']:+.4f}")
    if "effect" in result:
        effect = result["effect"]
        other = "" if effect["corrupted"] is None else f"; on the other text {effect['corrupted']:+.3f}"
        right, wrong = effect["answers"]
        print(f"\n{right!r} rather than {wrong!r}: {effect['clean']:+.3f} nats{other}")
    if "out" in result:
        print(f"\n{result['out']}")
    elif "ranking" not in result and "effect" not in result and "known" not in result:
        print("--out maps.html draws them; --from-token and --to-token rank the heads")
