"""Tokenizers on disk: Hugging Face directories and tokenizer.json, GPT-2's two files, BERT's one, GGUF; and
writing our own."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tokenizers
from tokenizers import models

from shizuku.errors import TokenizerError
from shizuku.text.pretokenizers import PATTERNS, byte_level, byte_level_decoder
from shizuku.text.special_tokens import SpecialTokens
from shizuku.text.tokenizer import Tokenizer
from shizuku.text.wordpiece import BERT, Words, put_between, read_vocabulary, wordpiece

GPT2_FILES = (("vocab.json", "merges.txt"), ("encoder.json", "vocab.bpe"))
BERT_FILE = "vocab.txt"
GPT2_END = "<|endoftext|>"


def load_tokenizer(path: Path) -> Tokenizer:
    """The tokenizer at `path`; raises TokenizerError that says what was looked for."""
    if path.is_dir():
        if (path / "tokenizer.json").is_file():
            return _load_directory(path)
        for vocabulary, merges in GPT2_FILES:
            if (path / vocabulary).is_file() and (path / merges).is_file():
                return _load_gpt2(path, path / vocabulary, path / merges)
        if (path / BERT_FILE).is_file():
            return _load_bert(path, path / BERT_FILE)
        raise TokenizerError(
            f"{path} holds no tokenizer: expected tokenizer.json, or vocab.json with merges.txt, or "
            f"encoder.json with vocab.bpe, or {BERT_FILE}."
        )
    if not path.exists():
        raise TokenizerError(f"{path} does not exist. Check the path given to --tokenizer.")
    if path.suffix.lower() == ".gguf":
        from shizuku.text.gguf_vocabulary import load_gguf_tokenizer

        return load_gguf_tokenizer(path)
    if path.suffix.lower() == ".json":
        return _load_directory(path.parent, path)
    raise TokenizerError(
        f"{path} is no tokenizer that can be read: expected a directory, a tokenizer.json or a .gguf."
    )


def save_tokenizer(tokenizer: Tokenizer, directory: Path, settings: Mapping[str, Any] | None = None) -> None:
    """Write the tokenizer's files into `directory`, which is made if it is missing; `settings` are further
    keys of tokenizer_config.json.
    """
    written = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": False,
        "model_max_length": int(1e30),
        **(settings or {}),
        **tokenizer.settings,
        **tokenizer.special.named(),
    }
    try:
        directory.mkdir(parents=True, exist_ok=True)
        # Not `backend.save`: its errors (a full disk) are of no type of their own.
        serialised = tokenizer.backend.to_str(pretty=True)
        (directory / "tokenizer.json").write_text(serialised, encoding="utf-8", newline="")
        _write_json(directory / "tokenizer_config.json", written)
        for name, template in tokenizer.chat_templates.items():
            file = directory / "chat_template.jinja"
            if name != "default":
                file = directory / "additional_chat_templates" / f"{name}.jinja"
                file.parent.mkdir(exist_ok=True)
            file.write_text(template, encoding="utf-8", newline="")
    except OSError as error:
        raise TokenizerError(
            f"could not write the tokenizer to {directory}: {error}. Check --out."
        ) from error


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise TokenizerError(f"{path} is not JSON: {error}. Fetch the file again.") from error
    if not isinstance(value, dict):
        raise TokenizerError(f"{path} holds a {type(value).__name__}; expected a JSON object.")
    return value


def _load_directory(directory: Path, file: Path | None = None) -> Tokenizer:
    file = file or directory / "tokenizer.json"
    try:
        text = file.read_text(encoding="utf-8")
        backend = tokenizers.Tokenizer.from_str(text)
    except Exception as error:  # the library raises bare Exception, and its message does not name the file
        _read_json(file)
        raise TokenizerError(f"{file} is JSON but no tokenizer: {error}") from error
    _check_ids(backend, file, text)
    config = _read_json(directory / "tokenizer_config.json")
    special = _special_tokens(directory, config, backend)
    return Tokenizer(
        backend, special=special, chat_templates=_chat_templates(directory, config), settings=_kept(config)
    )


def _check_ids(backend: tokenizers.Tokenizer, file: Path, text: str) -> None:
    """The library numbers added tokens anew where the file's ids leave gaps; then every id after would be
    wrong.
    """
    for token in _added_tokens(text):
        if backend.token_to_id(token["content"]) != token["id"]:
            raise TokenizerError(
                f"{file} gives {token['content']!r} the id {token['id']}, but the vocabulary before it "
                "leaves a gap. Number the added tokens without gaps."
            )


def _added_tokens(text: str) -> list[dict[str, Any]]:
    """The added tokens of a tokenizer.json that the library has read, without parsing the vocabulary too."""
    # Inside a string the quotes would be escaped, and a token of that name has a number behind the colon.
    start = re.search(r'"added_tokens"\s*:\s*(?=\[)', text)
    return [] if start is None else json.JSONDecoder().raw_decode(text, start.end())[0]


def _special_tokens(directory: Path, config: dict[str, Any], backend: tokenizers.Tokenizer) -> SpecialTokens:
    table = {**_read_json(directory / "special_tokens_map.json"), **config}
    generation = _read_json(directory / "generation_config.json").get("eos_token_id")
    ids = generation if isinstance(generation, list) else [generation]
    stop = [backend.id_to_token(i) for i in ids if isinstance(i, int)]
    declared = [t for t in (config.get("added_tokens_decoder") or {}).values() if t.get("special")]
    extra = table.get("additional_special_tokens") or table.get("extra_special_tokens") or []
    extra = list(extra.values()) if isinstance(extra, dict) else extra
    control = [name for name in map(_content, [*declared, *extra]) if name is not None]
    eos = _content(table.get("eos_token"))
    return SpecialTokens(
        bos=_content(table.get("bos_token")),
        eos=eos if eos is not None or not stop else stop[0],
        pad=_content(table.get("pad_token")),
        unk=_content(table.get("unk_token")),
        cls=_content(table.get("cls_token")),
        sep=_content(table.get("sep_token")),
        mask=_content(table.get("mask_token")),
        stop=tuple(token for token in stop if token is not None),
        control=tuple(dict.fromkeys(name for name in control if backend.token_to_id(name) is not None)),
    )


def _content(token: Any) -> str | None:
    """A token as the files write it: a string, or an object with its content."""
    if isinstance(token, dict):
        token = token.get("content")
    return token if isinstance(token, str) and token else None


def _chat_templates(directory: Path, config: dict[str, Any]) -> dict[str, str]:
    """Templates by name: from the config (a string, or a list of named ones), overridden by .jinja files."""
    written = config.get("chat_template")
    if isinstance(written, str):
        templates = {"default": written}
    elif isinstance(written, list):
        templates = {str(entry["name"]): str(entry["template"]) for entry in written}
    else:
        templates = {}
    if (directory / "chat_template.jinja").is_file():
        templates["default"] = (directory / "chat_template.jinja").read_bytes().decode("utf-8")
    for file in sorted((directory / "additional_chat_templates").glob("*.jinja")):
        templates[file.stem] = file.read_bytes().decode("utf-8")
    return named_templates(templates, str(directory))


def named_templates(templates: dict[str, str], source: str) -> dict[str, str]:
    """The templates; TokenizerError for a name that is more than a name, as it will be one of a file."""
    for name in templates:
        if not re.fullmatch(r"[\w-]{1,64}", name):
            raise TokenizerError(
                f"{source}: a chat template is called {name!r:.100}; expected letters, digits, _ and -"
            )
    return templates


def _kept(config: dict[str, Any]) -> dict[str, Any]:
    """What is written back on saving; templates and the named tokens are written from their own places, and
    whether a model is given token types follows from the model that it is saved with.
    """
    dropped = {"chat_template", "auto_map"}
    if "token_type_ids" in (config.get("model_input_names") or ()):
        dropped.add("model_input_names")
    return {key: value for key, value in config.items() if key not in dropped}


def _load_gpt2(directory: Path, vocabulary_file: Path, merges_file: Path) -> Tokenizer:
    vocabulary = _read_json(vocabulary_file)
    backend = byte_level_bpe(vocabulary, _merges(merges_file), PATTERNS["gpt-2"])
    config = _read_json(directory / "tokenizer_config.json")
    special = _special_tokens(directory, config, backend)
    if special == SpecialTokens() and GPT2_END in vocabulary:
        special = SpecialTokens(bos=GPT2_END, eos=GPT2_END, unk=GPT2_END)
    templates = _chat_templates(directory, config)
    return Tokenizer(backend, special=special, chat_templates=templates, settings=_kept(config))


def _load_bert(directory: Path, file: Path) -> Tokenizer:
    vocabulary = read_vocabulary(file)
    config = _read_json(directory / "tokenizer_config.json")
    given = {**_read_json(directory / "special_tokens_map.json"), **config}
    names: dict[str, Any] = {
        role: _content(given.get(f"{role}_token")) or getattr(BERT, role)
        for role in ("unk", "sep", "pad", "cls", "mask")
    }
    missing = [name for name in names.values() if name not in vocabulary]
    if missing:
        raise TokenizerError(
            f"{file} has no entry for {', '.join(missing)}; a WordPiece vocabulary needs them, under these "
            "names or those that tokenizer_config.json gives."
        )
    lowercase = config.get("do_lower_case", True)
    chinese = config.get("tokenize_chinese_chars", True)
    words = Words(lowercase=lowercase, strip_accents=config.get("strip_accents"), chinese_characters=chinese)
    backend = wordpiece(vocabulary, unknown=names["unk"], words=words)
    put_between(backend, names["cls"], names["sep"])
    return Tokenizer(backend, special=SpecialTokens(**names), settings=_kept(config))


def _merges(file: Path) -> list[tuple[str, str]]:
    merges = []
    for number, line in enumerate(file.read_text(encoding="utf-8").split("\n"), start=1):
        if not line.strip() or (number == 1 and line.startswith("#version")):
            continue
        left, _, right = line.rstrip("\r").partition(" ")
        if not left or not right or " " in right:
            raise TokenizerError(
                f"{file}, line {number}: expected two tokens with a space between, saw {line!r}."
            )
        merges.append((left, right))
    return merges


def byte_level_bpe(
    vocabulary: dict[str, int],
    merges: list[tuple[str, str]],
    patterns: tuple[str, ...],
    *,
    ignore_merges: bool = False,
) -> tokenizers.Tokenizer:
    """A backend from a vocabulary in the byte alphabet; raises TokenizerError if merges and vocabulary
    disagree.
    """
    try:
        model = models.BPE(vocab=vocabulary, merges=merges, ignore_merges=ignore_merges)
    except Exception as error:  # the library raises bare Exception
        raise TokenizerError(f"vocabulary and merges do not belong together: {error}") from error
    backend = tokenizers.Tokenizer(model)
    backend.pre_tokenizer = byte_level(patterns)
    backend.decoder = byte_level_decoder()
    return backend
