"""Every leaf of every verb's config arrives, by flag and by file, at a value that is not its default."""

import dataclasses
import importlib
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import pytest
import tomli_w

from shizuku import cli
from shizuku.config import field_types

# Where any other value would contradict the defaults of other fields, this one fits.
FITTING: dict[tuple[str, str], Any] = {
    ("align", "ppo.answers"): 128,
    ("align", "ppo.minibatch"): 32,
    ("align", "grpo.answers"): 128,
    ("align", "grpo.minibatch"): 32,
    ("align", "grpo.group"): 4,
    ("quantize", "group_size"): 32,
    ("tune", "learn"): ("user", "tool"),
    ("quantize", "outliers"): 0.01,
    ("align", "method"): "dpo",
    ("train", "architecture"): "ngram",
    ("attention", "out"): Path("maps.png"),
    ("quantize", "target_bytes"): "60MB",
}


# Leaves that the config asks for though they have defaults, as it takes the one or the other.
NEEDED: dict[tuple[str, str], tuple[str, ...]] = {
    ("train", "source"): ("target",),
    ("train", "target"): ("source",),
    ("train", "validation_source"): ("source", "target", "validation_target"),
    ("train", "validation_target"): ("source", "target", "validation_source"),
    ("train", ""): ("text",),
}
"""By verb and leaf; "" stands for all others."""


def leaves(cls: type[Any], prefix: str = "") -> Iterator[tuple[str, Any, Any, bool]]:
    """(dotted path, type, default, positional?) of every leaf; a missing default is dataclasses.MISSING."""
    hints = get_type_hints(cls, include_extras=True)
    for field in dataclasses.fields(cls):
        kind = field_types(cls)[field.name]
        if dataclasses.is_dataclass(kind):
            yield from leaves(kind, f"{prefix}{field.name}.")  # type: ignore[arg-type]
            continue
        default = field.default
        if field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        yield prefix + field.name, kind, default, "Positional" in str(hints[field.name])


def other_value(kind: Any, default: Any) -> Any:
    """A value of the type that is not the default."""
    origin, args = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        first = next(arg for arg in args if arg is not type(None))
        return other_value(first, default if default is not None else dataclasses.MISSING)
    if origin is Literal:
        return next(arg for arg in args if arg != default)
    if origin is tuple:
        items = args[:1] * 2 if args[-1] is Ellipsis else args
        return tuple(other_value(item, dataclasses.MISSING) for item in items)
    known = default not in (dataclasses.MISSING, None)
    if kind is bool:
        return not default if known else True
    if kind is int:
        return default + 1 if known else 7
    if kind is float:
        return default / 2 if known and default else 0.25
    return Path("some/where") if kind is Path else "something"


def words(path: str, value: Any, positional: bool, kind: Any) -> list[str]:
    """The command-line words that set a leaf."""
    flag = "--" + path.replace("_", "-")
    if kind is bool:
        head, _, last = flag[2:].rpartition(".")
        return [flag] if value else [f"--{head}{'.' if head else ''}no-{last}"]
    values = [str(item) for item in value] if isinstance(value, tuple) else [str(value)]
    return values if positional else [flag, *values]


def cases() -> list[Any]:
    """One case a leaf of each verb."""
    found = []
    for verb in cli.VERBS:
        config = importlib.import_module(
            "shizuku.commands." + verb.replace(" ", "_").replace("-", "_")
        ).Config
        for path, kind, default, positional in leaves(config):
            found.append(pytest.param(verb, config, path, kind, default, positional, id=f"{verb}:{path}"))
    return found


def required(config: type[Any], verb: str, but: str) -> list[tuple[str, Any, bool, Any]]:
    """The other leaves that have no default, or are needed, with a value each."""
    needed = NEEDED.get((verb, but), NEEDED.get((verb, ""), ()))
    return [
        (path, FITTING.get((verb, path), other_value(kind, default)), positional, kind)
        for path, kind, default, positional in leaves(config)
        if (default is dataclasses.MISSING or path in needed) and path != but
    ]


def read(config: Any, path: str) -> Any:
    for name in path.split("."):
        config = getattr(config, name)
    return config


@pytest.mark.parametrize(("verb", "config", "path", "kind", "default", "positional"), cases())
def test_leaf_arrives(
    verb: str, config: type[Any], path: str, kind: Any, default: Any, positional: bool, tmp_path: Path
) -> None:
    value = FITTING.get((verb, path), other_value(kind, default))
    assert value != default
    others = required(config, verb, path)
    line = [word for other in others for word in words(*other) if other[2]]
    line += words(path, value, positional, kind) + [
        w for other in others if not other[2] for w in words(*other)
    ]
    assert read(cli.parse(config, verb, line), path) == value

    table: dict[str, Any] = {}
    for name, item, *_ in [*others, (path, value, positional, kind)]:
        *parents, last = name.split(".")
        place = table
        for parent in parents:
            place = place.setdefault(parent, {})
        plain = [str(i) if isinstance(i, Path) else i for i in item] if isinstance(item, tuple) else item
        place[last] = str(plain) if isinstance(plain, Path) else plain
    (tmp_path / "config.toml").write_text(tomli_w.dumps(table))
    assert read(cli.parse(config, verb, ["--config", str(tmp_path / "config.toml")]), path) == value
