"""`shizuku show`: what a model is made of."""

from dataclasses import dataclass

import tyro

from shizuku.config import VerbConfig


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(VerbConfig):
    """What a model is made of, read from its headers: architecture, parameters, types, tokenizer, history."""

    model: tyro.conf.Positional[str]
    """A name (nothing is pulled for it), a checkpoint, Hugging Face or adapter directory, or a .gguf file."""


def run(config: Config) -> dict[str, object]:
    """The contents as JSON values."""
    from shizuku.checkpoints.contents import read_contents
    from shizuku.checkpoints.directory import resolve
    from shizuku.config import to_dict

    return to_dict(read_contents(resolve(config.model, allow_pull=False)))


def show(result: dict[str, object]) -> None:
    """One line a fact; long values are cut."""
    from shizuku.checkpoints.memory import readable

    size, parameters, types = result["bytes"], result["parameters"], result["types"]
    config, tokenizer, history = result["config"], result["tokenizer"], result["run"]
    assert isinstance(size, int) and isinstance(parameters, int) and isinstance(types, dict)
    assert isinstance(config, dict) and isinstance(history, dict)
    kinds = {
        "shizuku": "a checkpoint of Shizuku's",
        "huggingface": "a Hugging Face directory",
        "adapter": "an adapter in PEFT's format",
        "gguf": "GGUF",
    }
    bits = 8 * size / max(parameters, 1)
    _line("path", result["path"])
    _line("format", kinds[str(result["kind"])])
    _line("architecture", result["architecture"])
    _line("parameters", f"{parameters:,} in {result['tensors']} tensors")
    _line("stored as", ", ".join(f"{name} {count / max(parameters, 1):.1%}" for name, count in types.items()))
    _line("size", f"{readable(size)}, {bits:.1f} bits a parameter")
    _line("tokenizer", _tokenizer(tokenizer))
    _line("licence", result["licence"] or "not stated")
    _section("config", config)
    _section("run", {key: value for key, value in history.items() if key != "files"})


def _tokenizer(found: object) -> str:
    if not isinstance(found, dict):
        return "none"
    template = "with a chat template" if found["chat_template"] else "no chat template"
    return f"{found['kind']}, {found['vocab_size']:,} ids, {template}"


def _section(title: str, values: dict[str, object]) -> None:
    if values:
        print(f"\n{title}")
    width = max((len(key) for key in values), default=0) + 2
    for key, value in values.items():
        _line(f"  {key}", value, width)


def _line(name: str, value: object, width: int = 14) -> None:
    text = " ".join(str(value).split())
    print(f"{name:<{width}} {text if len(text) <= 160 else text[:160] + ' …'}")
