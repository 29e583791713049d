"""The command line: finds the verb, imports its one module, and turns errors into exit codes.

Nothing heavy is imported here: `shizuku --help` answers without torch, without tyro.
"""

import errno
import importlib
import io
import json
import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args, get_origin

from shizuku import __version__
from shizuku.errors import ShizukuError

GROUPS: dict[str, dict[str, str]] = {
    "A whole life": {
        "life": "the whole life of a small model, on text this machine already has",
    },
    "Models that are here": {
        "pull": "fetch a pretrained model by name",
        "list": "models on this machine, and those that can be pulled",
        "show": "what a model is made of",
        "rm": "remove a pulled model",
        "export": "write a model in another format",
        "quantize": "store a model in fewer bits, and measure what that changes",
    },
    "Use": {
        "chat": "talk to a model in the terminal",
        "generate": "continue a prompt",
        "translate": "translate texts, with a picture of where the model looked",
        "serve": "an OpenAI-compatible API and a web page for models",
    },
    "Make": {
        "data town": "write the simulated town: text in two languages, and every fact behind it",
        "data self-instruct": "let a model write tasks and answers to tune on, from a few seed tasks",
        "tokenizer train": "train a tokenizer on text",
        "train": "train a model on text",
        "tune": "tune a model on conversations, so that it answers and stops",
        "reward": "train a reward model on preference pairs",
        "classify": "train a classifier on labelled texts or pairs of texts, or let one label such",
        "embed train": "train a sentence encoder on pairs of texts that belong together",
        "align": "align a model with preferences or with a reward (dpo, ppo, grpo)",
        "merge": "fold an adapter into its base",
        "word-align": "align the words of two texts that say the same, with pictures and a phrase table",
    },
    "Measure": {
        "eval": "perplexity and bits per byte over a whole text, BLEU over pairs",
        "attention": "where every head of a model looks, and what it does for an answer",
        "bench": "how fast a model reads a prompt and makes tokens on this machine",
        "diff": "what two runs did differently, and what came of it",
    },
}
NOT_OURS = (
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EPERM, errno.EROFS),
    *(errno.ENOTDIR, errno.EISDIR, errno.EEXIST),
)
"""Refusals of the disk: no room, no permission, a file where a folder should be or the other way round."""
PLACES = ("out", "attention")
"""Flags that name what a verb writes."""
TOGETHER = ("train", "tune")
"""Verbs whose work the processes of a torchrun job share."""
VERBS = {verb: line for group in GROUPS.values() for verb, line in group.items()}


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 1 a defect of ours, 2 something to change, 130 Ctrl-C."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    # OpenMP threads that wait spin by default for milliseconds, which holds cores that other work could use;
    # not to spin at all doubles the time of small models (docs/lab-notes.md). The setting is read when torch
    # is imported, so it is made here or not at all.
    if "OMP_WAIT_POLICY" not in os.environ:  # which the count would overrule
        os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    try:
        code = run(arguments)
    except KeyboardInterrupt:
        _tell("interrupted")
        code = 130
    except BrokenPipeError:
        # The reader of our output has gone (`shizuku … | head`): no traceback, also not from the final flush.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 141
    raise SystemExit(code)


def run(arguments: list[str]) -> int:
    """Run one command line and return its exit code."""
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(overview())
        return 0
    if arguments[0] in ("-V", "--version"):
        print(f"shizuku {__version__}")
        return 0
    verb = find_verb(arguments)
    if verb is None:
        return _unknown(arguments)
    if "TORCHELASTIC_RUN_ID" in os.environ and os.environ.get("WORLD_SIZE") != "1" and verb not in TOGETHER:
        _tell(f"shizuku {verb}: every process would do all of it; torchrun is for {', '.join(TOGETHER)}")
        return 2
    rest = arguments[len(verb.split()) :]
    module = importlib.import_module("shizuku.commands." + verb.replace(" ", "_").replace("-", "_"))
    config: Any = None
    try:
        with _said_once():
            config = parse(module.Config, verb, rest)
        result = module.run(config)
        told = json.dumps(result, ensure_ascii=False, allow_nan=False) if config.json else ""
    except ShizukuError as error:
        _tell(f"shizuku {verb}: {error}")
        return 2
    except BrokenPipeError:
        raise  # the reader of our output has gone, which `main` knows
    except Exception as error:
        if isinstance(error, OSError) and (error.errno in NOT_OURS or _is_asked_for(config, error)):
            where = error.filename or getattr(config, "out", None)
            place = f" ({where})" if where else ""
            flags = ", ".join(f"--{name}" for name in PLACES if getattr(config, name, None) is not None)
            _tell(
                f"shizuku {verb}: {os.strerror(error.errno or 0)}{place}. Give a place that can be written, "
                f"with room ({flags or 'SHIZUKU_HOME for pulled models'})"
            )
            return 2
        _tell(
            f"{traceback.format_exc()}"
            f"shizuku {verb}: this is a defect in Shizuku {__version__}, not in your input."
        )
        return 1
    if result is None:
        return 0  # another process of the job has the result
    if config.json:
        print(told)
    else:
        module.show(result)
    return 0


def _is_asked_for(config: Any, error: OSError) -> bool:
    """Whether what is missing is, or lies in, a place that the command was to write."""
    if error.errno != errno.ENOENT or not isinstance(error.filename, str):
        return False
    given = [getattr(config, name, None) for name in PLACES]
    return any(isinstance(one, Path) and Path(error.filename).is_relative_to(one.parent) for one in given)


def _tell(text: str) -> None:
    """Print an error on stderr, but for what the processes of a job would say after the first."""
    if _first_to_tell():
        print(text, file=sys.stderr)


def _first_to_tell() -> bool:
    if os.environ.get("WORLD_SIZE", "1") == "1":
        return True
    from shizuku.training.distribution import first_to_tell

    return first_to_tell()


@contextmanager
def _said_once() -> Iterator[None]:
    """Let one process of a job say what all of them find in the same flags."""
    if os.environ.get("WORLD_SIZE", "1") == "1":
        yield
        return
    out, err = io.StringIO(), io.StringIO()
    try:
        with redirect_stdout(out), redirect_stderr(err):
            yield
    except SystemExit:
        if _first_to_tell():
            sys.stdout.write(out.getvalue())
            sys.stderr.write(err.getvalue())
        raise


def find_verb(arguments: Sequence[str]) -> str | None:
    """The verb that the arguments begin with: two words where there is one of two, else one."""
    for words in (2, 1):
        verb = " ".join(arguments[:words])
        if verb in VERBS:
            return verb
    return None


def parse(cls: type[Any], verb: str, arguments: Sequence[str]) -> Any:
    """The verb's config from its flags, on top of the files given with `--config`.

    ConfigError for a bad file or contradicting settings; exits with 2 for an unknown or ill-typed flag.
    """
    import tyro

    from shizuku.config import laid_over

    flags, table = _take_config_files(list(arguments))
    flags = _gathered(cls, flags)
    table = laid_over(cls.brought_along({**table, **_plain_flags(flags)}), table)
    default = {} if not table else {"default": _partial(cls, table)}
    return tyro.cli(cls, prog=f"shizuku {verb}", args=flags, **default)


def _gathered(cls: type[Any], flags: Sequence[str]) -> list[str]:
    """The flags with all values of one that takes several behind its first place: of one that is given again
    the parser would forget what came before.
    """
    from shizuku.config import field_types

    several = {f"--{name}".replace("_", "-") for name, kind in field_types(cls).items() if _takes_texts(kind)}
    groups: dict[str | int, list[str]] = {}
    here = groups.setdefault("", [])
    for number, word in enumerate(flags):
        name, equals, value = word.partition("=")
        name = name.replace("_", "-")
        if name in several:
            here = groups.setdefault(name, [name])
            here += [value] if equals else []
        elif word.startswith("-"):
            here = groups[number] = [word]
        else:
            here.append(word)
    return [word for group in groups.values() for word in group]


def _takes_texts(kind: Any) -> bool:
    """Whether a field is a tuple of any number of texts or paths."""
    return get_origin(kind) is tuple and get_args(kind) in ((str, ...), (Path, ...))


def overview() -> str:
    """The text of `shizuku --help`."""
    lines = ["Shizuku LM (雫): a language model's whole life, on the machine you have.", ""]
    lines += ["usage: shizuku VERB [flags]      shizuku VERB --help says more", ""]
    for group, verbs in GROUPS.items():
        lines += [group] + [f"  {verb:<20}{line}" for verb, line in verbs.items()] + [""]
    lines += ["Every verb takes --json (one object on stdout) and --config FILE (TOML, or a run.json)."]
    return "\n".join(lines)


def _unknown(arguments: Sequence[str]) -> int:
    import difflib

    group = [verb for verb in VERBS if verb.split()[0] == arguments[0]]
    if group:
        print(f"shizuku {arguments[0]}: say which: {', '.join(group)}", file=sys.stderr)
        return 2
    near = difflib.get_close_matches(arguments[0], VERBS, n=1)
    hint = f"; did you mean {near[0]}?" if near else ""
    print(f"shizuku: no verb {arguments[0]!r}{hint}\n\n{overview()}", file=sys.stderr)
    return 2


def _take_config_files(flags: list[str]) -> tuple[list[str], dict[str, Any]]:
    """Split `--config FILE` off the flags; several files are laid over each other in their order."""
    from shizuku.config import laid_over, read_file
    from shizuku.errors import ConfigError

    rest: list[str] = []
    table: dict[str, Any] = {}
    while flags:
        flag = flags.pop(0)
        if flag == "--config" or flag.startswith("--config="):
            if flag == "--config" and not flags:
                raise ConfigError("--config: expected a file after it")
            file = flag.partition("=")[2] if "=" in flag else flags.pop(0)
            table = laid_over(table, read_file(file))
        else:
            rest.append(flag)
    return rest, table


def _plain_flags(flags: Sequence[str]) -> dict[str, str]:
    """The values of flags by field, as far as they can be told without their types: `--a-b C`, `--a-b=C`."""
    found = {}
    for flag, following in pairwise([*flags, ""]):
        if flag.startswith("--"):
            name, equals, value = flag[2:].partition("=")
            found[name.replace("-", "_")] = value if equals else following
    return found


def _partial(cls: type[Any], table: dict[str, Any]) -> Any:
    """An instance that carries the file's settings and leaves required fields open for the flags.

    It goes around `__init__`: the checks across fields belong to the complete config that tyro builds.
    """
    import dataclasses

    import tyro

    from shizuku.config import read_fields

    values = read_fields(cls, table)
    instance = object.__new__(cls)
    for field in dataclasses.fields(cls):
        if field.name in values:
            value = values[field.name]
        elif field.default is not dataclasses.MISSING:
            value = field.default
        elif field.default_factory is not dataclasses.MISSING:
            value = field.default_factory()
        else:
            value = tyro.MISSING
        object.__setattr__(instance, field.name, value)
    return instance
