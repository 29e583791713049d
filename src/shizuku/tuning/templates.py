"""A chat template for a model that has none, with the control tokens that it needs."""

import dataclasses
from importlib.resources import files
from pathlib import Path

import tokenizers
import torch

from shizuku.errors import ConfigError, TokenizerError
from shizuku.models.architectures import build
from shizuku.models.decoder import Decoder
from shizuku.progress import say
from shizuku.text.chat import CHATML, parse
from shizuku.text.tokenizer import Tokenizer

CHATML_TOKENS = ("<|im_start|>", "<|im_end|>")
SHIPPED = ("chatml-tools",)
"""Templates that come with the package, for --chat-template by name."""


def with_template(
    model: Decoder, tokenizer: Tokenizer, template: Path | None = None, *, frozen: bool = False
) -> tuple[Decoder, Tokenizer]:
    """The model and its tokenizer with a chat template: the file's, its own, or ChatML.

    Where the vocabulary lacks ChatML's two control tokens they are added, and the model gets a row for each:
    the mean of all rows, for the one that ends a turn the row of the end token. Raises ConfigError where the
    model is `frozen` (an adapter can't train new rows), TokenizerError for a template that is not valid.
    """
    if template is not None:
        text = template_text(template)
        parse(text)
        return model, _with(tokenizer, {**tokenizer.chat_templates, "default": text})
    if tokenizer.chat_template is not None:
        return model, tokenizer
    say("the model has no chat template: ChatML is taken (--chat-template gives another)")
    missing = [name for name in CHATML_TOKENS if name not in tokenizer.control.values()]
    if not missing:
        return model, _with(tokenizer, {"default": CHATML})
    if frozen:
        raise ConfigError(
            f"the vocabulary lacks {' and '.join(missing)} of ChatML, and an adapter can't train new tokens: "
            "tune without --lora.rank, or give a --chat-template of tokens that the model knows"
        )
    before = tokenizer.vocab_size
    backend = tokenizers.Tokenizer.from_str(tokenizer.backend.to_str())
    backend.add_special_tokens(
        [tokenizers.AddedToken(name, special=True, normalized=False) for name in missing]
    )
    special = dataclasses.replace(tokenizer.special, control=(*tokenizer.special.control, *missing))
    grown = Tokenizer(
        backend, special=special, chat_templates={"default": CHATML}, settings=tokenizer.settings
    )
    if grown.vocab_size < before:
        raise TokenizerError("the vocabulary could not be extended by ChatML's tokens: give --chat-template")
    say(f"the vocabulary gets {' and '.join(missing)}: {grown.vocab_size:,} tokens")
    return _grown(model, grown, [number for number, name in grown.control.items() if name in missing]), grown


def template_text(template: Path) -> str:
    """The text of a template's file, or of a shipped one by its name; ConfigError if it can't be read."""
    try:
        if str(template) in SHIPPED and not template.exists():
            shipped = files("shizuku.tuning") / "chat_templates" / f"{template}.jinja"
            return shipped.read_text(encoding="utf-8")
        return template.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"--chat-template {template}: cannot be read: {error}. By name there is {', '.join(SHIPPED)}"
        ) from error


def _with(tokenizer: Tokenizer, templates: dict[str, str]) -> Tokenizer:
    return Tokenizer(
        tokenizer.backend, special=tokenizer.special, chat_templates=templates, settings=tokenizer.settings
    )


@torch.no_grad()
def _grown(model: Decoder, tokenizer: Tokenizer, added: list[int]) -> Decoder:
    """The model with rows for the `added` tokens (where its tables, perhaps padded, have none yet)."""
    size = max(model.config.vocab_size, tokenizer.vocab_size)
    larger = build(dataclasses.replace(model.config, vocab_size=size))
    state = model.state_dict()
    end = tokenizer.backend.token_to_id(CHATML_TOKENS[1])
    for name, target in larger.state_dict().items():
        source = state[name]
        if name.startswith(("embedding.", "unembedding.")):
            target[: len(source)] = source
            for token in added:
                copied = token == end and tokenizer.eos_id is not None
                target[token] = source[tokenizer.eos_id] if copied else source.mean(0)
        else:
            target.copy_(source)
    return larger
