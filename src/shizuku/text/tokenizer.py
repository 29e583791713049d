"""The tokenizer: text to ids and back, over the `tokenizers` library.

B rows, T tokens.
"""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tokenizers

from shizuku.errors import TokenizerError
from shizuku.text.byte_alphabet import byte_characters
from shizuku.text.control_symbols import control_ids, mark_control, text_only
from shizuku.text.special_tokens import TURN_ENDS, SpecialTokens
from shizuku.text.token_bytes import TokenBytes, adds_a_space, unknown_characters, unknown_id

if TYPE_CHECKING:
    from shizuku.text.vocabulary_training import Kind

CHARACTERS_AT_ONCE = 1_000_000
"""A batch is encoded in slices of about this size: the library keeps some 100 bytes for each token of a
slice."""
_LOST = "\N{REPLACEMENT CHARACTER}".encode()
DEFAULT_SPECIAL = SpecialTokens(
    bos="<|bos|>", eos="<|eos|>", pad="<|pad|>", control=("<|im_start|>", "<|im_end|>")
)
"""The control tokens of a tokenizer trained here."""


class Tokenizer:
    """A vocabulary with its control tokens and chat templates.

    Control tokens are symbols that text cannot forge: unless `control=True` is asked for, their spelling
    inside a text is encoded as the text it is.
    """

    def __init__(
        self,
        backend: tokenizers.Tokenizer,
        *,
        special: SpecialTokens,
        chat_templates: Mapping[str, str] | None = None,
        settings: Mapping[str, Any] | None = None,
        vocab_size: int | None = None,
    ) -> None:
        """Wrap `backend`; `settings` are further keys of tokenizer_config.json, kept for saving.

        `vocab_size`, one more than the highest id, is worked out where it isn't known.
        """
        backend.no_padding()
        backend.no_truncation()
        mark_control(backend, (*special.named().values(), *special.control))
        self.backend = backend
        self.special = special
        self.chat_templates = dict(chat_templates or {})
        self.settings = dict(settings or {})
        self.control = control_ids(backend)
        self._known_size = vocab_size
        self._text_backend = text_only(backend) if self.control else backend

    # ---- what the vocabulary is

    @cached_property
    def vocab_size(self) -> int:
        """Ids run from 0 to vocab_size - 1."""
        if self._known_size is not None:
            return self._known_size
        return max(self.backend.get_vocab(with_added_tokens=True).values()) + 1

    @property
    def bos_id(self) -> int | None:
        """Id of the token that begins a text, if there is one."""
        return self._id(self.special.bos)

    @property
    def eos_id(self) -> int | None:
        """Id of the token that ends a text, if there is one."""
        return self._id(self.special.eos)

    @property
    def pad_id(self) -> int | None:
        """Id of the token that fills up batches, if there is one; it may equal `eos_id`."""
        return self._id(self.special.pad)

    @property
    def cls_id(self) -> int | None:
        """Id of the token that begins a text in BERT's vocabularies, if there is one."""
        return self._id(self.special.cls)

    @property
    def sep_id(self) -> int | None:
        """Id of the token that ends a text in BERT's vocabularies, if there is one."""
        return self._id(self.special.sep)

    @property
    def mask_id(self) -> int | None:
        """Id of the token that stands for a hidden one, if there is one."""
        return self._id(self.special.mask)

    @cached_property
    def unknown_id(self) -> int | None:
        """Id that the model gives to characters it cannot write; None if it can write every text."""
        return unknown_id(self.backend)

    @property
    def document_start_id(self) -> int | None:
        """Id of the token placed before each document: bos if there is one, else eos, else None."""
        return self.bos_id if self.bos_id is not None else self.eos_id

    @cached_property
    def stop_ids(self) -> frozenset[int]:
        """Ids at which generation ends: eos, and the tokens that end a turn."""
        turn_ends = [name for name in TURN_ENDS if name in self.control.values()]
        ids = (self._id(name) for name in (self.special.eos, *self.special.stop, *turn_ends))
        return frozenset(token_id for token_id in ids if token_id is not None)

    @property
    def chat_template(self) -> str | None:
        """The default chat template (Jinja), if there is one."""
        return self.chat_templates.get("default")

    def _id(self, name: str | None) -> int | None:
        found = None if name is None else self.backend.token_to_id(name)
        return None if found is None else int(found)

    # ---- text to ids

    def encode(self, text: str, *, control: bool = False) -> list[int]:
        """Ids of `text`, with nothing added; with `control`, spellings of control tokens become those tokens.

        Raises TokenizerError for a text that holds half of a surrogate pair.
        """
        _quiet_after_fork()
        backend = self.backend if control else self._text_backend
        try:
            # A batch of one: `encode` would work out the offsets too, at twice the time for a long text.
            return list(backend.encode_batch_fast([text], add_special_tokens=False)[0].ids)
        except TypeError as error:
            raise _not_text(text) from error

    def encode_batch(self, texts: Sequence[str], *, control: bool = False) -> list[list[int]]:
        """Ids of each text, as `encode` gives them, on all cores."""
        _quiet_after_fork()
        backend = self.backend if control else self._text_backend
        ids: list[list[int]] = []
        for part in _slices(texts):
            try:
                ids += [e.ids for e in backend.encode_batch_fast(part, add_special_tokens=False)]
            except TypeError as error:
                raise _not_text(next((t for t in part if not _is_text(t)), part)) from error
        return ids

    def unknown_characters(self, texts: Iterable[str]) -> int:
        """How many characters of `texts` are lost in unknown tokens; a WordPiece word is lost as a whole."""
        return unknown_characters(self._text_backend, self.unknown_id, texts)

    def encode_bytes(self, data: bytes) -> list[int]:
        """Ids of arbitrary bytes: what is UTF-8 as text, every other byte as the token of that byte.

        `decode_bytes` gives `data` back. Raises TokenizerError for a vocabulary without byte tokens.
        """
        ids: list[int] = []
        for valid, text in _utf8_runs(data):
            if valid:
                ids += self.encode(text)
            else:
                ids += [self._byte_ids[ord(character) - 0xDC00] for character in text]
        return ids

    @cached_property
    def _byte_ids(self) -> list[int]:
        spellings = (
            [self._id(c) for c in byte_characters()],
            [self._id(f"<0x{byte:02X}>") for byte in range(256)],
        )
        for ids in spellings:
            whole = [token_id for token_id in ids if token_id is not None]
            if len(whole) == 256:
                return whole
        raise TokenizerError(
            "this vocabulary has no token for every byte, so only valid UTF-8 can be encoded."
        )

    # ---- ids to text

    def token_bytes(self, token_id: int) -> bytes:
        """The bytes that a token writes; a control token writes its name. Raises TokenizerError for an id
        outside.
        """
        if not 0 <= token_id < self.vocab_size:
            raise TokenizerError(
                f"token id {token_id} is outside the vocabulary (0 to {self.vocab_size - 1})."
            )
        return self._bytes.of(token_id)

    @cached_property
    def _bytes(self) -> TokenBytes:
        return TokenBytes(self.backend)

    def written(self, token_id: int, *, skip_control: bool = True) -> bytes:
        """The bytes that a token adds to a text: none for a control token unless asked for, U+FFFD for the
        unknown.
        """
        if skip_control and token_id in self.control:
            return _LOST if token_id == self.unknown_id else b""
        return self.token_bytes(token_id)

    def decode_bytes(self, ids: Iterable[int], *, skip_control: bool = True) -> bytes:
        """The bytes that `ids` write, without control tokens unless they are asked for."""
        data = b"".join(self.written(int(i), skip_control=skip_control) for i in ids)
        return data[1:] if self.adds_a_space and data.startswith(b" ") else data

    @cached_property
    def adds_a_space(self) -> bool:
        """Whether texts are encoded with a space before them, as some are; `decode` takes it off."""
        return adds_a_space(self.backend)

    def decode(self, ids: Iterable[int], *, skip_control: bool = True) -> str:
        """The text that `ids` write; bytes that are no UTF-8 become U+FFFD."""
        return self.decode_bytes(ids, skip_control=skip_control).decode("utf-8", errors="replace")

    # ---- batches

    def pad(
        self, sequences: Sequence[Sequence[int]], *, side: str = "right"
    ) -> tuple[np.ndarray, np.ndarray]:
        """Ids int64 [B, T] and mask bool [B, T], filled up on `side` ("left" or "right").

        The mask, made from the lengths, is what tells tokens from filling: `pad_id` may be a token of the
        text too.
        """
        if side not in ("left", "right"):
            raise TokenizerError(f"side must be 'left' or 'right', not {side!r}.")
        filler = self.pad_id if self.pad_id is not None else 0
        length = max((len(sequence) for sequence in sequences), default=0)
        ids_BT = np.full((len(sequences), length), filler, dtype=np.int64)
        mask_BT = np.zeros((len(sequences), length), dtype=bool)
        for row, sequence in enumerate(sequences):
            where = slice(0, len(sequence)) if side == "right" else slice(length - len(sequence), length)
            ids_BT[row, where] = sequence
            mask_BT[row, where] = True
        return ids_BT, mask_BT

    # ---- conversations

    def render_chat(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
        add_generation_prompt: bool = True,
        variables: Mapping[str, Any] | None = None,
    ) -> str:
        """The conversation as the chat template writes it; `variables` are further names that the template
        reads.

        Raises TokenizerError if there is no template, or with the template's own message if it refuses the
        messages.
        """
        from shizuku.text.chat import render

        names = {**self.special.named(), **(variables or {})}
        return render(self._template(tools), messages, tools, add_generation_prompt, names)

    def encode_chat(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
        add_generation_prompt: bool = True,
        variables: Mapping[str, Any] | None = None,
    ) -> list[int]:
        """Ids of the rendered conversation; control tokens come from the template alone, never from a
        message.

        Raises TokenizerError as `render_chat` does, and where the two could not be told apart.
        """
        from shizuku.text.chat_ids import encode_unforgeable

        conversation = (messages, tools, variables or {})
        return encode_unforgeable(self, self._template(tools), conversation, add_generation_prompt)

    def _template(self, tools: Sequence[Mapping[str, Any]] | None) -> str:
        template = self.chat_templates.get("tool_use") if tools else None
        template = template or self.chat_template
        if template is None:
            raise TokenizerError(
                "this tokenizer has no chat template. Use a model tuned for conversation, or put a "
                "chat_template.jinja beside its tokenizer.json."
            )
        return template

    # ---- files

    def save(self, directory: str | Path, *, settings: Mapping[str, Any] | None = None) -> None:
        """Write tokenizer.json, tokenizer_config.json and chat_template.jinja, as `transformers` reads them;
        `settings` are keys of the second that the tokenizer's own go before.
        """
        from shizuku.text.tokenizer_files import save_tokenizer

        save_tokenizer(self, Path(directory), settings)

    @classmethod
    def load(cls, path: str | Path) -> "Tokenizer":
        """Read a directory (Hugging Face's or ours, or GPT-2's vocabulary and merges), a tokenizer.json or a
        GGUF file.

        Raises TokenizerError if nothing there can be read as a tokenizer.
        """
        from shizuku.text.tokenizer_files import load_tokenizer

        return load_tokenizer(Path(path))

    @classmethod
    def train(
        cls,
        texts: Iterable[str],
        vocab_size: int | None,
        *,
        kind: "Kind" = "byte-bpe",
        special: SpecialTokens | None = None,
        chat_template: str | None = None,
        min_frequency: int = 2,
        max_bytes: int = 512_000_000,
    ) -> "Tokenizer":
        """Train a vocabulary on at most `max_bytes` of `texts`.

        `vocab_size` None takes all characters, which only the kind `characters` can. The default control
        tokens are BERT's for `wordpiece` and else `DEFAULT_SPECIAL` with ChatML as the chat template; kinds
        that cannot write every text get an unknown token. Raises TokenizerError if `vocab_size` is not
        possible, saying what is.
        """
        from shizuku.text.chat import CHATML
        from shizuku.text.vocabulary_training import train_vocabulary
        from shizuku.text.wordpiece import BERT

        _quiet_after_fork()
        if special is None:
            special = BERT if kind == "wordpiece" else DEFAULT_SPECIAL
        if chat_template is None and special is DEFAULT_SPECIAL:
            chat_template = CHATML
        backend, special = train_vocabulary(
            texts,
            vocab_size,
            kind=kind,
            special=special,
            min_frequency=min_frequency,
            max_bytes=max_bytes,
        )
        templates = {} if chat_template is None else {"default": chat_template}
        settings = {}
        if special.bos is not None:
            # A prompt then begins as the documents of training do, in `transformers` and llama.cpp too.
            bos = (special.bos, backend.token_to_id(special.bos))
            backend.post_processor = tokenizers.processors.TemplateProcessing(
                single=f"{special.bos} $A", pair=f"{special.bos} $A {special.bos} $B", special_tokens=[bos]
            )
            settings["add_bos_token"] = True
        return cls(backend, special=special, chat_templates=templates, settings=settings)


def _slices(texts: Sequence[str]) -> Iterator[list[str]]:
    part: list[str] = []
    size = 0
    for text in texts:
        part.append(text)
        size += len(text)
        if size >= CHARACTERS_AT_ONCE:
            yield part
            part, size = [], 0
    if part:
        yield part


def _utf8_runs(data: bytes) -> Iterator[tuple[bool, str]]:
    """Runs of `data` that are UTF-8 (True) or are not (False, each byte as a character from U+DC80 on)."""
    text = data.decode("utf-8", errors="surrogateescape")
    start = 0
    for index in range(1, len(text) + 1):
        broken = "\udc80" <= text[start] <= "\udcff"
        if index == len(text) or ("\udc80" <= text[index] <= "\udcff") != broken:
            yield not broken, text[start:index]
            start = index


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value == value.encode("utf-8", "ignore").decode("utf-8")


def _not_text(value: object) -> TokenizerError:
    if isinstance(value, str):
        return TokenizerError(
            "the text holds half of a surrogate pair, which is no character. Use encode_bytes for bytes."
        )
    return TokenizerError(f"expected text (str), got {type(value).__name__}.")


@cache
def _quiet_after_fork() -> None:
    """Forked children (data workers) encode on one thread, which the library would otherwise warn about and
    do too.
    """
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=lambda: os.environ.setdefault("TOKENIZERS_PARALLELISM", "false"))
