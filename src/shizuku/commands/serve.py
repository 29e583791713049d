"""`shizuku serve`: models behind an OpenAI-compatible API, with a web page."""

import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from shizuku.config import VerbConfig, check_threads
from shizuku.errors import ConfigError, MissingExtraError
from shizuku.progress import say

if TYPE_CHECKING:
    from shizuku.serving.served import ServedModel
    from shizuku.serving.settings import ServerSettings


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(VerbConfig):
    """Serve models over OpenAI's API, with a web page to talk to them; ready when GET /health answers 200."""

    models: tyro.conf.Positional[tuple[str, ...]] = ()
    """Names, checkpoint directories, Hugging Face directories or .gguf files; NAME=MODEL gives a name."""
    m: Annotated[tuple[str, ...], tyro.conf.arg(aliases=["-m"])] = ()
    """Models again, for fingers that type `-m MODEL`."""
    host: str = "127.0.0.1"
    """Address to listen on; any but this machine's own loopback needs an API key."""
    port: int = 8080
    """Port to listen on; 0 takes a free one and says which."""
    context: Annotated[int | None, tyro.conf.arg(aliases=["-c"])] = None
    """Window in tokens; none: the model's own."""
    threads: Annotated[int | None, tyro.conf.arg(aliases=["-t"])] = None
    """Threads to compute with; none: as many as there are cores."""
    dry_run: bool = False
    """Check the models, the address and the key, and end."""


def run(config: Config) -> dict[str, object] | None:
    """Serve until told to end."""
    names = [*config.models, *config.m]
    if not names:
        raise ConfigError("say which model: a name (`shizuku list` shows them), a directory or a .gguf file")
    check_threads(config.threads)
    try:
        from shizuku.serving.app import build
        from shizuku.serving.server import listening, serve, url_of
    except ImportError as error:
        raise MissingExtraError(f"{error.name} is missing: pip install 'shizuku[serve]'") from error
    from shizuku.serving.served import Registry
    from shizuku.serving.settings import ServerSettings

    settings = ServerSettings(host=config.host, port=config.port)
    taken = listening(settings)
    registry = Registry([_load(name, config, settings) for name in names])
    ready = {"url": url_of(taken), "models": [model.name for model in registry], "pid": os.getpid()}

    def on_ready() -> None:
        if config.json:
            print(json.dumps(ready), flush=True)
        else:
            say(f"serving {', '.join(m.name for m in registry)} at {ready['url']} (Ctrl-C ends)")

    try:
        serve(build(registry, settings), taken, settings, on_ready)
    finally:
        for model in registry:
            model.driver.close()
    return None


def show(result: dict[str, Any]) -> None:
    """Nothing: everything has been said."""


def _load(given: str, config: Config, settings: "ServerSettings") -> "ServedModel":
    from shizuku.language_model import LanguageModel
    from shizuku.serving.driver import OneByOne
    from shizuku.serving.served import ServedModel, split_name

    name, place = split_name(given)
    lm = LanguageModel.load(place, context=config.context)
    return ServedModel(name, lm, OneByOne(lm, max_waiting=settings.max_waiting))
