"""One config tree is the only source of defaults: flags, files and run records are views of it.

A config is a frozen dataclass whose attribute docstrings are its help text. `from_dict` is strict:
an unknown key or a value of the wrong type is an error that names the key by its dotted path.
"""

import dataclasses
import json
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from shizuku.errors import ConfigError

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class VerbConfig:
    """What every verb of the command line has."""

    json: bool = False
    """Print one JSON object on stdout and nothing else there."""

    @classmethod
    def brought_along(cls, chosen: Mapping[str, object]) -> Mapping[str, object]:
        """Settings, as a nested table, that the `chosen` values of this config's own fields bring along."""
        return {}


MOST_THREADS = 1024
"""Far more than any use has; with 4,096 a run still worked, with 20,000 and more the process crashed."""
LARGEST_SEED = 2**63 - 1


def check_threads(threads: int | None) -> None:
    """ConfigError for a number of processor threads that cannot be."""
    if threads is not None and not 1 <= threads <= MOST_THREADS:
        raise ConfigError(f"--threads {threads}: expected a whole number from 1 to {MOST_THREADS}")


def check_seed(seed: int) -> None:
    """ConfigError for a seed that random generators don't take."""
    if not 0 <= seed <= LARGEST_SEED:
        raise ConfigError(f"--seed {seed}: expected a whole number from 0 to 2**63 - 1")


def at_least(config: object, prefix: str, **lowest: float) -> None:
    """ConfigError for a field, named as the flag below `prefix`, that is less than its bound and not None."""
    for name, bound in lowest.items():
        value = getattr(config, name)
        if value is not None and not value >= bound:
            flag = f"--{prefix}{name.replace('_', '-')}"
            raise ConfigError(f"{flag}: expected at least {bound}, found {value}")


def to_dict(config: Any) -> dict[str, Any]:
    """The config as plain JSON values: paths become strings, tuples become lists."""

    def plain(value: Any) -> Any:
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
        if isinstance(value, Mapping):
            return {str(key): plain(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [plain(item) for item in value]
        return str(value) if isinstance(value, Path) else value

    result = plain(config)
    assert isinstance(result, dict), f"to_dict takes a dataclass, got {type(config).__name__}"
    return result


def from_dict(cls: type[T], mapping: Mapping[str, Any], *, where: str = "") -> T:
    """Build `cls` from plain values; ConfigError for unknown keys, wrong types and missing fields."""
    values = read_fields(cls, mapping, where=where)
    missing = [
        f.name for f in dataclasses.fields(_dataclass(cls)) if _is_required(f) and f.name not in values
    ]
    if missing:
        raise ConfigError(f"{where or cls.__name__}: missing {', '.join(missing)}")
    return cls(**values)


def read_fields(cls: type[Any], mapping: Mapping[str, Any], *, where: str = "") -> dict[str, Any]:
    """The fields of `cls` that `mapping` sets, as their annotated types; ConfigError as `from_dict`."""
    hints = field_types(cls)
    begun = {
        f.name: first
        for f in dataclasses.fields(cls)
        if f.default_factory is not dataclasses.MISSING
        and dataclasses.is_dataclass(first := f.default_factory())
    }
    values = {}
    for key, value in mapping.items():
        name = str(key).replace("-", "_")
        path = f"{where}.{name}" if where else name
        if name not in hints:
            import difflib

            near = difflib.get_close_matches(name, hints, n=1)
            hint = f"; did you mean {near[0]}?" if near else f"; known: {', '.join(sorted(hints))}"
            raise ConfigError(f"unknown setting {path}{hint}")
        if name in begun and isinstance(value, Mapping):
            # A field may begin with other values than its class has: a part of a table changes that part.
            value = laid_over(to_dict(begun[name]), {str(k).replace("-", "_"): v for k, v in value.items()})
        values[name] = _convert(hints[name], value, path)
    return values


def field_types(cls: type[Any]) -> dict[str, Any]:
    """Field names of a dataclass with their types, `Annotated` and positional markers stripped."""
    return dict(_field_types(cls))  # type: ignore[arg-type]  # mypy takes some classes for unhashable


@cache
def _field_types(cls: Any) -> dict[str, Any]:
    hints = get_type_hints(cls)
    return {f.name: hints[f.name] for f in dataclasses.fields(_dataclass(cls))}


def read_file(path: str | Path) -> dict[str, Any]:
    """The table in a TOML or JSON file; of a run record (`run.json`), its resolved config."""
    import tomllib

    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--config {path}: cannot be read: {error}") from error
    try:
        table = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except ValueError as error:
        raise ConfigError(
            f"--config {path}: not valid {path.suffix.lstrip('.') or 'TOML'}: {error}"
        ) from error
    if not isinstance(table, dict):
        raise ConfigError(f"--config {path}: expected a table of settings, found {type(table).__name__}")
    config = table.get("config")
    return config if path.name == "run.json" and isinstance(config, dict) else table


def load(cls: type[T], path: str | Path) -> T:
    """Read a config file (TOML, JSON, or a run's `run.json`) into `cls`."""
    return from_dict(cls, read_file(path))


def laid_over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Both tables in one; where both have a setting, that of `above`."""
    table = dict(below)
    for key, value in above.items():
        under = table.get(key)
        both = isinstance(value, Mapping) and isinstance(under, Mapping)
        table[key] = laid_over(under, value) if both else value  # type: ignore[arg-type]
    return table


def save(config: Any, path: str | Path) -> None:
    """Write the resolved config as TOML; settings that are None are left out, as TOML has no word for it."""

    def without_none(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: without_none(item) for key, item in value.items() if item is not None}
        return [without_none(item) for item in value] if isinstance(value, list) else value

    import tomli_w

    Path(path).write_text(tomli_w.dumps(without_none(to_dict(config))), encoding="utf-8")


def _dataclass(cls: Any) -> Any:
    if not dataclasses.is_dataclass(cls):
        raise TypeError(f"{cls!r} is not a dataclass")
    return cls


def _is_required(field: "dataclasses.Field[Any]") -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _convert(kind: Any, value: Any, path: str) -> Any:
    """`value` as `kind`; an int may stand for a float and a string for a path, nothing else."""
    origin, args = get_origin(kind), get_args(kind)
    if kind is Any:
        return value
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        if isinstance(value, Mapping):
            return from_dict(kind, value, where=path)
    elif origin in (Union, types.UnionType):
        return _first_that_fits(args, value, path)
    elif origin is Literal:
        if value in args:
            return value
        raise ConfigError(f"{path}: expected one of {', '.join(map(repr, args))}, found {value!r}")
    elif origin in (tuple, list):
        if isinstance(value, list | tuple):
            items = _convert_items(origin, args, value, path)
            return origin(items)
    elif origin is dict or kind is dict:
        if isinstance(value, Mapping):
            return dict(value)
    elif _SCALARS.get(kind, lambda _: False)(value):
        return kind(value)
    raise ConfigError(f"{path}: expected {_name(kind)}, found {type(value).__name__} {value!r}")


_SCALARS: dict[Any, Callable[[Any], bool]] = {
    bool: lambda v: isinstance(v, bool),
    int: lambda v: isinstance(v, int) and not isinstance(v, bool),
    float: lambda v: isinstance(v, int | float) and not isinstance(v, bool),
    str: lambda v: isinstance(v, str),
    Path: lambda v: isinstance(v, str | Path),
    type(None): lambda v: v is None,
}


def _first_that_fits(kinds: tuple[Any, ...], value: Any, path: str) -> Any:
    if value is None and type(None) in kinds:
        return None
    errors = []
    for kind in kinds:
        if kind is type(None):
            continue
        try:
            return _convert(kind, value, path)
        except ConfigError as error:
            errors.append(str(error))
    raise ConfigError(errors[-1] if len(errors) == 1 else f"{path}: {value!r} fits none of its types")


def _convert_items(origin: Any, args: tuple[Any, ...], value: Any, path: str) -> list[Any]:
    if origin is tuple and args and args[-1] is not Ellipsis:
        if len(args) != len(value):
            raise ConfigError(f"{path}: expected {len(args)} values, found {len(value)}")
        kinds = args
    else:
        kinds = (args[0] if args else Any,) * len(value)
    return [
        _convert(kind, item, f"{path}[{i}]") for i, (kind, item) in enumerate(zip(kinds, value, strict=True))
    ]


def _name(kind: Any) -> str:
    return getattr(kind, "__name__", None) if isinstance(kind, type) else str(kind)  # type: ignore[return-value]


def differences(name: str, before: Any, now: Any) -> list[str]:
    """What differs between two JSON values, `name.key was …, is …`, as deep as it lies."""
    if before == now:
        return []
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        keys = [*before, *(key for key in now if key not in before)]
        return [text for key in keys for text in differences(f"{name}.{key}", before.get(key), now.get(key))]
    return [f"{name} was {before!r}, is {now!r}"]
