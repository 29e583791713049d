"""`shizuku generate`: continue a prompt."""

import sys
import time
from dataclasses import dataclass
from typing import Annotated

import tyro

from shizuku.commands.generation_flags import GenerationFlags
from shizuku.errors import ConfigError


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(GenerationFlags):
    """Continue a prompt; the text streams to the terminal, or comes as one JSON object."""

    prompt: Annotated[str, tyro.conf.arg(aliases=["-p"])]
    """Text to continue; `-` reads it from the standard input."""


def run(config: Config) -> dict[str, object]:
    """Generate, streaming to stdout unless `--json`; the text, its tokens and the speed."""
    settings = config.settings()
    prompt = _prompt(config.prompt)
    config.chosen()
    lm = config.load()
    begun = time.perf_counter()
    pieces = lm.stream(prompt, **settings)
    for piece in pieces:
        if not config.json:
            print(piece, end="", flush=True)
    seconds = time.perf_counter() - begun
    tokens = pieces.usage.completion_tokens
    return {
        "text": pieces.text,
        "tokens": tokens,
        "seconds": round(seconds, 3),
        "tokens_per_second": round(tokens / seconds, 2),
        "prompt_tokens": pieces.usage.prompt_tokens,
        "finish": pieces.finish,
    }


def show(result: dict[str, object]) -> None:
    """End the streamed line; the numbers go to stderr, so that stdout holds nothing but the text."""
    print(flush=True)
    print(
        f"{result['tokens']} tokens in {result['seconds']} s, {result['tokens_per_second']} tokens/s",
        file=sys.stderr,
    )


def _prompt(given: str) -> str:
    if given != "-":
        return given
    try:
        return sys.stdin.read()
    except UnicodeDecodeError as error:
        raise ConfigError(f"--prompt -: the standard input is not valid text: {error}") from error
