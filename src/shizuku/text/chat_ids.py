"""From a conversation to ids in which every control token comes from the template, none from what people
wrote.

The rendered string alone does not say who wrote which part of it. So the template is rendered a second time
with the messages masked: the characters with which a control token could begin or end inside them are
replaced, one for one, by private-use characters. What is a control token there was written by the template;
everything else is text.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from jinja2 import nodes

from shizuku.errors import TokenizerError
from shizuku.text.chat import parse, render

if TYPE_CHECKING:
    from shizuku.text.tokenizer import Tokenizer

_FIRST_MASK = 0xF0000
"""Masks are taken from the private-use plane from here on, leaving out characters that the conversation
holds."""

_KEYS_OF_PLAIN_WORDS = frozenset({"role", "type"})
_ROLES = ("system", "user", "assistant", "tool", "developer", "function", "model", "ipython", "observation")
_KINDS = ("text", "image", "audio", "video", "image_url", "input_audio", "tool_call", "tool_response")
_SCHEMA = ("string", "number", "integer", "boolean", "object", "array", "null")
_PLAIN_WORDS = frozenset({*_ROLES, *_KINDS, *_SCHEMA, "environment"})
"""Words under `role` and `type` from which templates may build a control token (`<|user|>`), as they are
meant to."""


def encode_unforgeable(
    tokenizer: "Tokenizer",
    template: str,
    conversation: tuple[Sequence[Mapping[str, Any]], Sequence[Mapping[str, Any]] | None, Mapping[str, Any]],
    add_generation_prompt: bool,
) -> list[int]:
    """Ids of the rendered `conversation` (messages, tools, variables).

    Raises TokenizerError if the template treats what a message spells so specially that the two renderings
    differ.
    """
    special = tokenizer.special.named()

    def rendered_with(messages: Any, tools: Any, variables: Any) -> str:
        return render(template, messages, tools, add_generation_prompt, {**special, **variables})

    text = rendered_with(*conversation)
    names = tuple(tokenizer.control.values())
    mask = _Mask(names, [template, *_strings(conversation)], tokenizer.backend.normalizer)
    for visible in ((), _literals(template, names)):
        masked = mask.apply(list(conversation), visible)
        if not mask.table:
            return tokenizer.encode(text, control=True)
        masked_text = rendered_with(*masked)
        if mask.undo(masked_text) == text:
            return _encode_between(tokenizer, text, _control_spans(tokenizer, masked_text))
    raise TokenizerError(
        "a message spells something that the chat template treats specially, so its control tokens and the "
        "message's "
        f"text cannot be told apart. Remove such spellings from the messages; control tokens: "
        f"{', '.join(names[:8])}"
    )


def _encode_between(tokenizer: "Tokenizer", text: str, spans: list[tuple[int, int, int]]) -> list[int]:
    """Ids of `text`, of which `spans` (id, start, end) are control tokens and nothing else is."""
    if spans == _control_spans(tokenizer, text):
        return tokenizer.encode(text, control=True)
    ids: list[int] = []
    end = 0
    for token_id, start, stop in spans:
        ids += tokenizer.encode(text[end:start])
        ids.append(token_id)
        end = stop
    return ids + tokenizer.encode(text[end:])


def _control_spans(tokenizer: "Tokenizer", text: str) -> list[tuple[int, int, int]]:
    encoding = tokenizer.backend.encode(text, add_special_tokens=False)
    pairs = zip(encoding.ids, encoding.offsets, strict=True)
    return [(token_id, start, stop) for token_id, (start, stop) in pairs if token_id in tokenizer.control]


class _Mask:
    """Replaces characters one for one by private-use characters that occur nowhere in the conversation."""

    def __init__(self, names: Sequence[str], occupied: Sequence[str], normalizer: Any) -> None:
        self.names, self.normalizer = names, normalizer
        self.is_edge: dict[str, bool] = {}
        self.edges = {name[0] for name in names} | {name[-1] for name in names}
        self.taken = {character for text in occupied for character in text if ord(character) >= _FIRST_MASK}
        self.table: dict[str, str] = {}

    def apply(self, value: Any, visible: Sequence[str], key: str | None = None) -> Any:
        """A copy of `value` with its strings masked, except for the `visible` spellings inside them."""
        if isinstance(value, str):
            if key in _KEYS_OF_PLAIN_WORDS and value in _PLAIN_WORDS:
                return value
            inside = value.strip()
            whole = bool(inside) and any(inside in name for name in self.names)
            return self._mask(value, visible, whole)
        if isinstance(value, Mapping):
            return {
                self._mask(k, visible) if isinstance(k, str) else k: self.apply(v, visible, k)
                for k, v in value.items()
            }
        if isinstance(value, list | tuple):
            return [self.apply(entry, visible, key) for entry in value]
        return value

    def undo(self, text: str) -> str:
        """The text behind a masked one."""
        return text.translate({ord(mask): character for character, mask in self.table.items()})

    def _mask(self, text: str, visible: Sequence[str], whole: bool = False) -> str:
        kept = _places(text, visible)
        hidden = ((whole and not character.isspace()) or self._edges(character) for character in text)
        return "".join(
            self._stand_in(character) if hide and place not in kept else character
            for place, (character, hide) in enumerate(zip(text, hidden, strict=True))
        )

    def _edges(self, character: str) -> bool:
        """Whether it is, or the tokenizer makes of it, the beginning or the end of a control token."""
        found = self.is_edge.get(character)
        if found is None:
            made = character if self.normalizer is None else self.normalizer.normalize_str(character)
            found = self.is_edge[character] = not self.edges.isdisjoint((character, *made))
        return found

    def _stand_in(self, character: str) -> str:
        if character not in self.table:
            free = next(chr(code) for code in range(_FIRST_MASK, 0x10FFFE) if chr(code) not in self.taken)
            self.taken.add(free)
            self.table[character] = free
        return self.table[character]


def _places(text: str, spellings: Sequence[str]) -> set[int]:
    places: set[int] = set()
    for spelling in spellings:
        start = text.find(spelling)
        while start >= 0:
            places.update(range(start, start + len(spelling)))
            start = text.find(spelling, start + 1)
    return places


@lru_cache(maxsize=32)
def _literals(template: str, names: Sequence[str]) -> tuple[str, ...]:
    """What the template may look for in a message (`</think>`): its string constants that touch no control
    token.
    """
    constants = {node.value for node in parse(template).find_all(nodes.Const) if isinstance(node.value, str)}
    return tuple(
        sorted(text for text in constants if len(text) > 1 and not any(text in n or n in text for n in names))
    )


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, entry in value.items():
            yield from _strings(key)
            yield from _strings(entry)
    elif isinstance(value, list | tuple):
        for entry in value:
            yield from _strings(entry)
