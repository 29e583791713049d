"""`shizuku translate`: a text in another language, and where the model looked."""

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from shizuku.config import VerbConfig, check_threads
from shizuku.errors import ConfigError

if TYPE_CHECKING:
    from shizuku.translation import Looks, Translator

PICTURES = (".html", ".svg", ".png")
LONGEST_NAME = 200
SHOWN = 24
"""Sentences in a picture page at most."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(VerbConfig):
    """Translate texts, a line each: those given, those of a file, or those of the standard input."""

    model: tyro.conf.Positional[str]
    """The directory of a translation model (shizuku train --architecture encoder-decoder --source …)."""
    words: tyro.conf.Positional[tuple[str, ...]] = ()
    """Texts to translate."""
    text: Path | None = None
    """A file of texts in place of those, one a line (.gz too); with neither, lines of the standard input."""
    beams: int = 4
    """Beginnings of a translation that are kept at each step, at most 1000; 1 takes the best token."""
    length_penalty: float = 1.0
    """Power by which the length weighs where translations are compared; 0 prefers short ones."""
    max_new_tokens: Annotated[int | None, tyro.conf.arg(aliases=["-n", "--max-tokens"])] = None
    """Tokens of a translation at most; none: twice those of the source and ten more."""
    attention: Path | None = None
    """A picture of where the model looked (.html of all texts, .svg or .png of the first)."""
    layer: int | None = None
    """Which layer's attention the picture shows; none: the mean of all."""
    threads: Annotated[int | None, tyro.conf.arg(aliases=["-t"])] = None
    """Threads to compute with; none: as many as there are processors."""

    def __post_init__(self) -> None:
        check_threads(self.threads)
        if self.words and self.text is not None:
            raise ConfigError("texts were given, and --text FILE too: leave one out")


def run(config: Config) -> dict[str, Any]:
    """Translate and draw; the translations with their log-probabilities, and how long it took."""
    from shizuku.inference.beams import BeamSettings

    settings: dict[str, Any] = {
        "beams": config.beams, "length_penalty": config.length_penalty,
        "max_new_tokens": config.max_new_tokens,
    }  # fmt: skip
    BeamSettings(**settings)
    if config.attention is not None and config.attention.suffix not in PICTURES:
        raise ConfigError(
            f"--attention {config.attention}: expected a name that ends in {', '.join(PICTURES)}"
        )
    from shizuku.translation import Translator

    translator = Translator.load(config.model, threads=config.threads)
    texts = _texts(config)
    if config.attention is not None:
        _check_drawn(config, config.attention, translator, texts)
    fitting = _fitting(config, translator, texts)
    begun = time.perf_counter()
    found = translator.hypotheses(fitting, **settings)
    seconds = time.perf_counter() - begun
    translations = [translator.tokenizer.decode(each[0].ids) if each else "" for each in found]
    result: dict[str, Any] = {
        "translations": translations,
        "logprobs": [each[0].logprob if each else None for each in found],
        "scores": [each[0].score if each else None for each in found],
        "finish": [each[0].finish if each else None for each in found],
        "sentences": len(texts),
        "tokens": sum(len(each[0].ids) + 1 for each in found if each),
        "seconds": round(seconds, 3),
    }
    if config.attention is not None:
        result["attention"] = str(_draw(config, config.attention, translator, texts, translations))
    return result


def _texts(config: Config) -> list[str]:
    from shizuku.progress import say

    if config.words:
        for word in config.words:
            if len(word) < LONGEST_NAME and Path(word).is_file():
                say(f"{word!r} is translated as it stands; the lines of the file of that name: --text {word}")
        return list(config.words)
    if config.text is not None:
        from shizuku.text.bitext import read_lines

        return read_lines(config.text, "--text")
    from shizuku.text.bitext import split_lines

    try:
        lines = split_lines(sys.stdin.read())
    except UnicodeDecodeError as error:
        raise ConfigError(f"the standard input is not valid text: {error}") from error
    if not any(line.strip() for line in lines):
        raise ConfigError(
            "there is nothing to translate: give texts, --text FILE, or lines on the standard input"
        )
    return lines


def _fitting(config: Config, translator: "Translator", texts: list[str]) -> list[str]:
    """The texts, with those of a file's lines left blank, and named, that are longer than the window."""
    from shizuku.progress import say

    long = [number for number, text in enumerate(texts, 1) if translator.tokens(text) > translator.context]
    if not long:
        return texts
    if config.words or len(long) == len(texts):
        translator.check(texts)
    some = ", ".join(map(str, long[:10])) + (", …" if len(long) > 10 else "")
    say(
        f"left untranslated: line {some}, longer than the model's window of {translator.context} tokens: "
        "give such a line in sentences"
    )
    left = set(long)
    return ["" if number in left else text for number, text in enumerate(texts, 1)]


def _check_drawn(config: Config, path: Path, translator: "Translator", texts: list[str]) -> None:
    """Raise what drawing would raise, before anything is translated in vain."""
    if path.suffix == ".png":
        _drawing()
    path.parent.mkdir(parents=True, exist_ok=True)
    fits = (text for text in texts if text.strip() and translator.tokens(text) <= translator.context)
    some = next(fits, None)
    if some is not None:
        translator.attention(some, some, layer=config.layer)


def _draw(
    config: Config, path: Path, translator: "Translator", texts: list[str], translations: list[str]
) -> Path:
    from shizuku.report.grids import grid
    from shizuku.report.page import Figure, Page

    pairs = [pair for pair in zip(texts, translations, strict=True) if all(side.strip() for side in pair)]
    if not pairs:
        raise ConfigError("--attention: no text has a translation that could be drawn")
    if path.suffix == ".png":
        looks = translator.attention(*pairs[0], layer=config.layer)
        return _png(looks, path)
    drawn = []
    for source, target in pairs[: SHOWN if path.suffix == ".html" else 1]:
        looks = translator.attention(source, target, layer=config.layer)
        drawn.append(
            Figure(grid(looks.weights_TS, looks.target, looks.source, most=1.0), f"{source} | {target}")
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".svg":
        path.write_text(drawn[0].svg + "\n", encoding="utf-8")
        return path
    page = Page("Attention of a translation", config.model)
    page.section(
        "Where the model looked",
        "A row is a word of the translation, a column one of the source. Shades: how much the model looked "
        "there while it wrote the word, as a mean over heads"
        + (" and layers." if config.layer is None else f" of layer {config.layer}."),
    )
    page.figures(*drawn)
    path.write_text(page.html(), encoding="utf-8")
    return path


def _drawing() -> Any:
    """Matplotlib's figure; MissingExtraError without it."""
    from shizuku.errors import MissingExtraError

    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError(
            "--attention FILE.png needs matplotlib: pip install 'shizuku[report]'"
        ) from error
    return Figure


def _png(looks: "Looks", path: Path) -> Path:
    size = 1.6 + 0.36 * len(looks.source), 1.4 + 0.36 * len(looks.target)
    drawing = _drawing()(figsize=size, layout="constrained")
    axes: Any = drawing.subplots()
    axes.imshow(looks.weights_TS, cmap="Blues", vmin=0.0, vmax=1.0)
    axes.set_xticks(range(len(looks.source)), looks.source, rotation=50, ha="left")
    axes.set_yticks(range(len(looks.target)), looks.target)
    axes.xaxis.tick_top()
    path.parent.mkdir(parents=True, exist_ok=True)
    drawing.savefig(path, dpi=150)
    return path


def show(result: dict[str, Any]) -> None:
    """The translations on stdout, a line each; the figures on stderr."""
    from shizuku.progress import counted

    for text in result["translations"]:
        print(text)
    for number, finish in enumerate(result["finish"], start=1):
        if finish == "length":
            print(f"text {number}: its translation was cut at the limit (--max-new-tokens)", file=sys.stderr)
    read, made = counted(result["sentences"], "text"), counted(result["tokens"], "token")
    print(
        f"{read}, {made} in {result['seconds']} s"
        + (f"; {result['attention']}" if "attention" in result else ""),
        file=sys.stderr,
    )
