"""A tokenizer as GGUF metadata: tokens, merges, types, the pre-tokenizer's name, the chat template."""

import json
from typing import Any

import gguf

from shizuku.errors import CheckpointError
from shizuku.progress import warn_once
from shizuku.text.gguf_vocabulary import SAME_AS, WHOLE_PIECES
from shizuku.text.pretokenizers import PATTERNS, byte_level
from shizuku.text.prompting import opening
from shizuku.text.tokenizer import Tokenizer

_NORMAL, _CONTROL, _USER_DEFINED, _UNUSED = (
    gguf.TokenType.NORMAL, gguf.TokenType.CONTROL, gguf.TokenType.USER_DEFINED, gguf.TokenType.UNUSED,
)  # fmt: skip


def add_tokenizer(writer: gguf.GGUFWriter, tokenizer: Tokenizer, vocab_size: int) -> None:
    """Add a byte-level BPE tokenizer to the file; ids beyond it, up to the model's, become unused tokens.

    A tokenizer of another kind, larger than the model, or that changes, cuts or joins text in a way that GGUF
    has no name for raises CheckpointError. Every chat template is carried.
    """
    settings = json.loads(tokenizer.backend.to_str())
    model = settings["model"]
    if model.get("type") != "BPE":
        raise CheckpointError(f"GGUF is written with byte-level BPE; this tokenizer is {model.get('type')}")
    if tokenizer.vocab_size > vocab_size:
        raise CheckpointError(f"the tokenizer has {tokenizer.vocab_size} ids, the model only {vocab_size}")
    _check_normalizer(settings.get("normalizer"))
    added = {entry["id"]: entry for entry in settings["added_tokens"]}
    spelling = {
        token_id: token for token, token_id in tokenizer.backend.get_vocab(with_added_tokens=True).items()
    }
    tokens, types = [], []
    for token_id in range(vocab_size):
        tokens.append(spelling.get(token_id, f"[PAD{token_id}]"))
        types.append(_type_of(token_id, tokenizer, added, spelling))
    writer.add_tokenizer_model("gpt2")
    whole_pieces = bool(model.get("ignore_merges"))
    writer.add_tokenizer_pre(pre_tokenizer_name(settings["pre_tokenizer"], whole_pieces=whole_pieces))
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges(
        [" ".join(merge) if isinstance(merge, list) else merge for merge in model["merges"]]
    )
    unk = tokenizer.special.unk
    for special_id, add in (
        (tokenizer.bos_id, writer.add_bos_token_id),
        (tokenizer.eos_id, writer.add_eos_token_id),
        (tokenizer.pad_id, writer.add_pad_token_id),
        (None if unk is None else tokenizer.backend.token_to_id(unk), writer.add_unk_token_id),
    ):
        if special_id is not None:
            add(special_id)
    writer.add_add_bos_token(bool(opening(tokenizer)))
    if tokenizer.chat_template is not None:
        writer.add_chat_template(tokenizer.chat_template)
    others = sorted(tokenizer.chat_templates.keys() - {"default"})
    for name in others:
        key = gguf.Keys.Tokenizer.CHAT_TEMPLATE_N.format(name=name)
        writer.add_string(key, tokenizer.chat_templates[name])
    if others:
        writer.add_array(gguf.Keys.Tokenizer.CHAT_TEMPLATES, others)


def _check_normalizer(settings: dict[str, Any] | None) -> None:
    steps = [settings] if settings else []
    if settings and settings["type"] == "Sequence":
        steps = settings["normalizers"]
    for step in steps:
        if step["type"] != "NFC":
            raise CheckpointError(
                f"this tokenizer changes text before cutting it ({step['type']}), which GGUF cannot say: "
                "another reader would give other ids"
            )
        warn_once("this tokenizer composes characters first (NFC), readers of GGUF don't: give them NFC text")


def _type_of(
    token_id: int, tokenizer: Tokenizer, added: dict[int, dict[str, Any]], spelling: dict[int, str]
) -> gguf.TokenType:
    if token_id not in spelling:
        return _UNUSED
    if token_id in tokenizer.control:
        return _CONTROL
    return _USER_DEFINED if token_id in added else _NORMAL


def pre_tokenizer_name(settings: dict[str, Any] | None, *, whole_pieces: bool = False) -> str:
    """Return GGUF's name of a pre-tokenizer of tokenizer.json; one without raises CheckpointError.

    The name also says whether a piece that is a token is taken whole before any merge.
    """
    name = _pattern_name(settings)
    names = [other for other in (name, *SAME_AS.get(name, ())) if (other in WHOLE_PIECES) == whole_pieces]
    if not names:
        taken = "whole before" if whole_pieces else "only after"
        raise CheckpointError(
            f"GGUF has no name for a tokenizer that cuts text as {name} does and takes pieces {taken} merging"
        )
    return names[0]


def _pattern_name(settings: dict[str, Any] | None) -> str:
    for name, patterns in PATTERNS.items():
        if _essence(json.loads(byte_level(patterns).__getstate__())) == _essence(settings):
            return name
    if _essence(settings) == [("ByteLevel", False, True)]:
        return "gpt-2"
    if _essence(settings) == [("Digits", True), ("ByteLevel", False, True)]:
        return "smollm"
    raise CheckpointError(
        "GGUF has no name for the way this tokenizer cuts text, so another reader would cut it differently: "
        f"{json.dumps(settings, ensure_ascii=False)[:300]}"
    )


def _essence(settings: dict[str, Any] | None) -> list[tuple[Any, ...]]:
    """Return the steps of a pre-tokenizer with what changes its cuts."""
    if settings is None:
        return []
    kind = settings["type"]
    if kind == "Sequence":
        return [step for part in settings["pretokenizers"] for step in _essence(part)]
    if kind == "Split":
        return [(kind, json.dumps(settings["pattern"]), settings["behavior"], settings["invert"])]
    if kind == "ByteLevel":
        return [(kind, settings["add_prefix_space"], settings["use_regex"])]
    if kind == "Digits":
        return [(kind, settings["individual_digits"])]
    return [(kind, json.dumps(settings, sort_keys=True))]
