"""From settings to a running server."""

import json
import os
from collections.abc import Sequence
from contextlib import ExitStack

from shizuku.checkpoints.adapter_reading import check_adapter
from shizuku.checkpoints.names import resolve
from shizuku.progress import say
from shizuku.serving.app import build
from shizuku.serving.served import Registry, ServedModel, check_names, split_name
from shizuku.serving.server import listening, server_for, url_of
from shizuku.serving.settings import ServerSettings


def start(models: Sequence[str], settings: ServerSettings) -> None:
    """Listen, load the models, and answer until told to end.

    Raises ConfigError for an address that can't be listened on and for keys, before any model is loaded;
    CheckpointError and FetchError as loading does.
    """
    keys = settings.keys()
    check_names(models, settings.adapter)
    with ExitStack() as ends:
        taken = ends.enter_context(listening(settings))
        served = []
        for given in models:
            served.append(load(given, settings))
            ends.callback(served[-1].engine.close)
            served += adapters_of(served[-1], settings)
        registry = Registry(served)
        ready = {"url": url_of(taken), "models": [model.name for model in served], "pid": os.getpid()}

        def on_ready() -> None:
            if settings.json:
                print(json.dumps(ready), flush=True)
            else:
                say(f"serving {', '.join(model.name for model in served)} at {ready['url']} (Ctrl-C ends)")

        server_for(build(registry, settings, keys), on_ready).run(sockets=[taken])


def check(models: Sequence[str], settings: ServerSettings) -> dict[str, object]:
    """What `start` would do, without loading a model; raises what it would."""
    keys = settings.keys()
    check_names(models, settings.adapter)
    with listening(settings) as taken:
        url = url_of(taken)
    names = []
    for given in models:
        name, place = split_name(given)
        resolve(place)
        names.append(name)
    for given in settings.adapter:
        name, place = split_name(given)
        check_adapter(place)
        names.append(name)
    return {"dry_run": True, "url": url, "models": names, "keys": len(keys)}


def load(given: str, settings: ServerSettings) -> ServedModel:
    """One model with what continues its sequences; `given` is where it is, or NAME=MODEL."""
    from shizuku.language_model import LanguageModel

    name, place = split_name(given)
    lm = LanguageModel.load(
        place, context=settings.context, threads=settings.threads, engine=settings.engine()
    )
    lm.engine.start()
    return ServedModel(name, lm)


def adapters_of(base: ServedModel, settings: ServerSettings) -> list[ServedModel]:
    """The adapters of the settings put beside a model, each under its own name; raises as `add_adapter`."""
    found = []
    for given in settings.adapter:
        name, directory = split_name(given)
        base.lm.add_adapter(name, directory, another_base=settings.another_base)
        found.append(ServedModel(name, base.lm.adapted(name), turns=base.turns, parent=base.name))
    return found
