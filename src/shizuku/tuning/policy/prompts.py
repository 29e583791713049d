"""Prompts out of files: texts, chats, questions, or the prompts of preference pairs.

What a record is, its keys say; all of it is kept for rewards that want to see it.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shizuku.errors import ConfigError, DocumentError, TokenizerError
from shizuku.text.problems import Problems
from shizuku.text.prompting import prompt_ids
from shizuku.text.tokenizer import Tokenizer
from shizuku.tuning.conversations import read_records
from shizuku.tuning.pair_formats import QUESTIONS, read_pair
from shizuku.tuning.policy.rollouts import Prompt
from shizuku.tuning.turns import SYSTEM, Refused, checked_turns, shared_turn, tools_of

_ANSWER = {"role": "assistant", "content": "…"}
FEW = 10
"""Below so many prompts none is held out."""


@dataclass(frozen=True, slots=True)
class AskedPrompt:
    """A prompt as it was read."""

    turns: Sequence[Mapping[str, Any]]
    """What stands before the answer, the last turn the user's (or a tool's)."""
    record: Mapping[str, Any]
    """The whole row of the data."""
    tools: Sequence[Mapping[str, Any]] = ()
    """Tools that the assistant is told of."""
    id: str = ""
    """Where it comes from."""

    @property
    def text(self) -> str | list[Mapping[str, Any]]:
        """What a reward reads: the user's words, or the turns where there are several."""
        return str(self.turns[0]["content"]) if len(self.turns) == 1 else list(self.turns)

    def digest(self, seed: int = 0) -> str:
        """What it is told by: the same for the same words."""
        words = [[turn["role"], " ".join(str(turn["content"]).split())] for turn in self.turns]
        return hashlib.blake2b(f"{seed}\0{json.dumps(words)}".encode(), digest_size=16).hexdigest()


@dataclass(slots=True)
class Prompts:
    """What was read."""

    items: list[AskedPrompt] = field(default_factory=list)
    """The prompts in the order of the files."""
    formats: Counter[str] = field(default_factory=Counter)
    """How many records were of each format."""

    def say(self) -> str:
        """One line: how many, and of which formats."""
        kinds = ", ".join(f"{number:,} {kind}" for kind, number in self.formats.most_common())
        return f"read {len(self.items):,} prompts ({kinds})"


def read_prompts(paths: Sequence[str | Path], *, problems: Problems) -> Prompts:
    """Read all prompts of `paths` into memory; an answer that stands behind one is left out of it.

    Records without a prompt are skipped and counted in `problems`. Raises DocumentError for a missing or
    binary file, and where nothing is left.
    """
    found = Prompts()
    for place, record in read_records(list(paths), problems=problems):
        try:
            kind, turns = _turns(record)
            plain = checked_turns([*turns, _ANSWER])[:-1]
            if not plain or plain[-1]["role"] in SYSTEM:
                raise Refused("no question")
            found.items.append(AskedPrompt(plain, record, tools_of(record.get("tools")), place))
        except Refused as reason:
            problems.add(str(reason), place)
            continue
        found.formats[kind] += 1
    if not found.items:
        seen = ", ".join(map(str, paths))
        raise DocumentError(
            f"no prompt in {seen}: {problems.report() or 'nothing in it'}. Expected records with a prompt "
            "(text or messages), messages, question, instruction and input, or preference pairs (--data)"
        )
    return found


def split_prompts(
    prompts: Sequence[AskedPrompt], share: float, seed: int
) -> tuple[list[AskedPrompt], list[AskedPrompt]]:
    """Prompts to learn from, each once, and held-out ones, told apart by a digest of their words."""
    distinct = list({prompt.digest(seed): prompt for prompt in prompts}.values())
    if not share or len(distinct) < FEW:
        return distinct, []
    held = set(sorted(prompt.digest(seed) for prompt in distinct)[: max(1, round(share * len(distinct)))])
    sides: tuple[list[AskedPrompt], list[AskedPrompt]] = ([], [])
    for prompt in distinct:
        sides[prompt.digest(seed) in held].append(prompt)
    return sides


def encode_prompts(
    tokenizer: Tokenizer, prompts: Sequence[AskedPrompt], *, chat: bool, room: int, problems: Problems
) -> list[Prompt]:
    """The prompts as the model reads them: by its chat template, or (not `chat`) as text to go on with.

    Those with more than `room` tokens, which leave too few for an answer, are counted in `problems`.
    """
    found = []
    for prompt in prompts:
        if chat:
            try:
                ids = tokenizer.encode_chat(list(prompt.turns), tools=list(prompt.tools) or None)
            except TokenizerError as error:
                problems.add(f"the chat template refuses it: {error}", prompt.id)
                continue
        elif len(prompt.turns) > 1:
            raise ConfigError(
                f"{prompt.id}: a prompt of several turns needs a chat template, which the model lacks: give "
                "--chat-template"
            )
        else:
            ids = prompt_ids(tokenizer, str(prompt.turns[0]["content"]))
        if len(ids) > room:
            problems.add(f"longer than {room:,} tokens, which leaves no room to answer", prompt.id)
            continue
        found.append(Prompt(ids, prompt.text, prompt.record))
    return found


def _turns(record: Mapping[str, Any]) -> tuple[str, list[Any]]:
    """The name of a record's format, and its turns before the answer."""
    if "chosen" in record and "rejected" in record:
        return "preference pairs", list(read_pair(record)[1].prompt)
    for key in ("messages", "conversations", "conversation"):
        if key in record:
            return f"chats ({key})", _with_system(record, _unanswered(record[key], key))
    if isinstance(record.get("prompt"), list):
        return "prompts as messages", _with_system(record, list(record["prompt"]))
    asked = next((names for names in QUESTIONS if record.get(names[0]) is not None), None)
    if asked is None:
        raise Refused(f"no prompt (keys: {', '.join(map(str, list(record)[:8]))})")
    parts = [record.get(name) for name in asked if name]
    if not all(part is None or isinstance(part, str) for part in parts):
        raise Refused(f"column {asked[0]} is not text")
    words = "\n\n".join(part for part in parts if part and part.strip())
    return f"column {asked[0]}", _with_system(record, [{"role": "user", "content": words}])


def _unanswered(turns: Any, key: str) -> list[Any]:
    """The turns up to the last that is not the assistant's."""
    if not isinstance(turns, list) or not turns:
        raise Refused(f"{key} is not a list of turns")
    plain = [shared_turn(turn) if isinstance(turn, Mapping) and "from" in turn else turn for turn in turns]
    while plain and isinstance(plain[-1], Mapping) and plain[-1].get("role") == "assistant":
        plain.pop()
    return plain


def _with_system(record: Mapping[str, Any], turns: list[Any]) -> list[Any]:
    system = record.get("system")
    first = turns[0].get("role") if turns and isinstance(turns[0], Mapping) else None
    if isinstance(system, str) and system.strip() and first != "system":
        return [{"role": "system", "content": system}, *turns]
    return turns
