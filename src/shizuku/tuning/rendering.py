"""From a conversation to the ids that a model reads, and which of them it learns to write.

The ids are those that `encode_chat` gives, so nothing that people wrote can forge a control token. What an
answer is, is told by comparing renderings: the conversation up to the answer, as generation begins with it,
is the beginning of the conversation with the answer.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from shizuku.errors import ConfigError, TokenizerError
from shizuku.text.chat import MARKS
from shizuku.text.tokenizer import Tokenizer
from shizuku.tuning.examples import Conversation, Example

ANSWERS, ALL = "answers", "all"
ROLES = ("system", "developer", "user", "assistant", "tool")
Learn = str | Sequence[str]
"""`answers` (the assistant's turns), `all`, or the roles whose turns are learned."""
_BLOCK = re.compile(r"\{%[-+]?\s*generation\s*[-+]?%\}")
_MARKS = ("\U0010fffc", "\U0010fffd")
"""Private-use characters that stand where a template's `{% generation %}` block begins and ends."""


def check_learn(learn: Learn) -> frozenset[str] | None:
    """The roles that are learned, None for all tokens; ConfigError for words that mean neither."""
    words = (learn,) if isinstance(learn, str) else tuple(learn)
    if words == (ALL,):
        return None
    roles = frozenset("assistant" if word == ANSWERS else word for word in words)
    unknown = sorted(roles - set(ROLES))
    if unknown or not roles:
        raise ConfigError(
            f"--learn {' '.join(words)}: expected {ANSWERS}, {ALL}, or roles out of {', '.join(ROLES)}"
        )
    return roles


def encode_example(tokenizer: Tokenizer, conversation: Conversation, *, learn: Learn = ANSWERS) -> Example:
    """The whole conversation as one example, ids as `encode_chat` gives them.

    Learned are the turns that `learn` names, each with the token that ends it; never a tool's output (unless
    its role is named), nor a turn whose `weight` is 0. Where a template ends its last answer with no token
    that stops generation, the tokenizer's end token is added, learned. Raises TokenizerError where the
    template can't tell answers from the rest, refuses the conversation, or writes earlier answers otherwise
    once more turns follow (`encode_examples` then makes one example of each answer).
    """
    examples = encode_examples(tokenizer, conversation, learn=learn)
    if len(examples) != 1:
        raise TokenizerError(
            "the chat template writes earlier answers differently once more turns follow, so one example "
            f"can't hold all {len(examples)} answers of this conversation: use encode_examples"
        )
    return examples[0]


def encode_examples(
    tokenizer: Tokenizer, conversation: Conversation, *, learn: Learn = ANSWERS
) -> list[Example]:
    """Like `encode_example`; one example of each answer where the template rewrites earlier turns."""
    roles = check_learn(learn)
    writer = _Writer(tokenizer, conversation)
    ids = writer.ids(len(writer.messages))
    if roles is None:
        return [_ended(tokenizer, ids, [True] * len(ids))]
    turns = [
        number
        for number, message in enumerate(writer.messages)
        if message.get("role") in roles and message.get("weight", 1) != 0
    ]
    if not turns:
        raise TokenizerError(f"the conversation has no turn to learn from: no {', '.join(sorted(roles))}")
    answers = sum(message.get("role") == "assistant" for message in writer.messages)
    if roles == {"assistant"} and len(turns) == answers and writer.marks_answers:
        return [_ended(tokenizer, ids, writer.marked(ids))]
    spans = [(*writer.span(turn), writer.messages[turn]["role"] == "assistant") for turn in turns]
    # What ends a turn may be written otherwise, or not at all, where more turns follow.
    inside = [(start, upto[: _common(upto, ids)], answer) for start, upto, answer in spans]
    if all(_is_whole(tokenizer, upto, *part) for (_, upto, _), part in zip(spans, inside, strict=True)):
        return [_learned(tokenizer, ids, inside)]
    return [_learned(tokenizer, upto, [(start, upto, answer)]) for start, upto, answer in spans]


def _is_whole(tokenizer: Tokenizer, upto: list[int], start: int, inside: list[int], answer: bool) -> bool:
    """Whether a turn stands in the conversation as it does at its own end, an answer with what stops it."""
    if answer:
        stop = _stop(tokenizer, inside, start)
        return stop is not None and stop == _stop(tokenizer, upto, start)
    return len(inside) >= len(upto) - 1


def _stop(tokenizer: Tokenizer, ids: Sequence[int], start: int) -> int | None:
    """Where the token is that ends the text from `start` on: the first that stops generation, and nothing
    but blanks and further ones behind it.
    """
    found = None
    for at in range(len(ids) - 1, start - 1, -1):
        if ids[at] in tokenizer.stop_ids:
            found = at
        elif tokenizer.written(ids[at], skip_control=False).strip():
            break
    return found


def _learned(tokenizer: Tokenizer, ids: list[int], spans: list[tuple[int, list[int], bool]]) -> Example:
    learned = [False] * len(ids)
    for start, upto, answer in spans:
        stop = _stop(tokenizer, upto, start) if answer else None
        end = len(upto) if stop is None else stop + 1
        learned[start:end] = [True] * (end - start)
    return _ended(tokenizer, ids, learned) if any(answer for *_, answer in spans) else Example(ids, learned)


def _ended(tokenizer: Tokenizer, ids: list[int], learned: list[bool]) -> Example:
    """With an end token behind what is learned last, where the template has written none."""
    last = max((at for at, yes in enumerate(learned) if yes), default=None)
    if last is None:
        raise TokenizerError("the chat template leaves nothing of this conversation to learn from")
    stop = _stop(tokenizer, ids[: last + 1], 0)
    if stop is not None and learned[stop]:
        return Example(ids, learned)
    if tokenizer.eos_id is None:
        raise TokenizerError(
            "the chat template ends an answer with no token that stops generation, and the tokenizer has no "
            "end token (eos): answers would never stop. Give another with --chat-template"
        )
    return Example([*ids[: last + 1], tokenizer.eos_id], [*learned[: last + 1], True])


class _Writer:
    """One conversation in its renderings, from the first turn to each further one."""

    def __init__(self, tokenizer: Tokenizer, conversation: Conversation) -> None:
        self.tokenizer, self.messages = tokenizer, list(conversation.messages)
        self.tools = list(conversation.tools) or None
        self._known: dict[tuple[int, bool], list[int]] = {}

    @property
    def marks_answers(self) -> bool:
        """Whether the template itself says what the assistant wrote."""
        templates = self.tokenizer.chat_templates
        template = (templates.get("tool_use") if self.tools else None) or templates.get("default", "")
        return _BLOCK.search(template) is not None

    def ids(self, turns: int, *, prompt: bool = False) -> list[int]:
        """Ids of the first `turns` turns, with the beginning of an answer where `prompt` asks for it."""
        key = turns, prompt
        if key not in self._known:
            self._known[key] = self.tokenizer.encode_chat(
                self.messages[:turns], tools=self.tools, add_generation_prompt=prompt
            )
        return self._known[key]

    def text(self, turns: int, *, prompt: bool = False, variables: Mapping[str, Any] | None = None) -> str:
        """The rendering that `ids` are those of."""
        return self.tokenizer.render_chat(
            self.messages[:turns], tools=self.tools, add_generation_prompt=prompt, variables=variables
        )

    def span(self, turn: int) -> tuple[int, list[int]]:
        """Where a turn begins, and the ids up to its end."""
        upto = self.ids(turn + 1)
        answers = self.messages[turn].get("role") == "assistant"
        if turn == 0:
            if answers:
                raise TokenizerError("the assistant speaks first: there is nothing that it answers")
            return 0, upto
        before = self.ids(turn, prompt=answers)
        start = _common(before, upto)
        # A token may reach over the border; then the texts, one the beginning of the other, say so.
        if start < len(before) and not self.text(turn + 1).startswith(self.text(turn, prompt=answers)):
            raise TokenizerError(
                f"turn {turn + 1} can't be told from what stands before it: the chat template does not "
                "write the conversation up to it as the beginning of the longer one (is its generation "
                "prompt another than what it writes before an answer?). Give another with --chat-template"
            )
        if answers:
            self._check_prompt(turn, upto[start:])
        return start, upto

    def _check_prompt(self, turn: int, answer: list[int]) -> None:
        """Refuse a template whose answers have a heading that generation would not begin with."""
        calls = self.messages[turn].get("tool_calls")
        headed = answer and answer[0] in self.tokenizer.control and answer[0] not in self.tokenizer.stop_ids
        if headed and not calls and self.text(turn, prompt=True) == self.text(turn):
            raise TokenizerError(
                "the chat template has no generation prompt: it begins an answer with "
                f"{self.tokenizer.control[answer[0]]}, which the model would have to write itself. Give one "
                "that writes it where add_generation_prompt is true, with --chat-template"
            )

    def marked(self, ids: list[int]) -> list[bool]:
        """Which of `ids` the template's `{% generation %}` blocks hold, and the stop token behind each."""
        turns = len(self.messages)
        plain = self.text(turns)
        if any(mark in plain for mark in _MARKS):
            raise TokenizerError(
                f"the conversation holds the private-use character U+{ord(_MARKS[0]):X} or its neighbour, "
                "which mark a template's answers: remove it"
            )
        marked = self.text(turns, variables=dict(zip(MARKS, _MARKS, strict=True)))
        pieces = [self.tokenizer.written(token, skip_control=False) for token in ids]
        if (
            marked.replace(_MARKS[0], "").replace(_MARKS[1], "") != plain
            or b"".join(pieces) != plain.encode()
        ):
            raise TokenizerError("the chat template's generation blocks can't be found in the tokens")
        learned, at = [False] * len(ids), 0
        spans = _spans(marked)
        for number, piece in enumerate(pieces):
            end = at + len(piece)
            learned[number] = any(start < end and at < stop for start, stop in spans)
            follows = number > 0 and learned[number - 1] and ids[number - 1] not in self.tokenizer.stop_ids
            if follows and ids[number] in self.tokenizer.stop_ids:
                learned[number] = True
            at = end
        return learned


def _spans(marked: str) -> list[tuple[int, int]]:
    """Where blocks begin and end, in bytes of the text without the marks."""
    spans, start, at = [], 0, 0
    for part in re.split(f"([{''.join(_MARKS)}])", marked):
        if part == _MARKS[0]:
            start = at
        elif part == _MARKS[1]:
            spans.append((start, at))
        else:
            at += len(part.encode())
    return spans


def _common(one: Sequence[int], other: Sequence[int]) -> int:
    """How many ids both begin with."""
    for at, (a, b) in enumerate(zip(one, other, strict=False)):
        if a != b:
            return at
    return min(len(one), len(other))
