"""`shizuku chat`: talk to a model in the terminal, or through a pipe.

Answers go to stdout, everything about them to stderr.
"""

import json
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shizuku.commands.generation_flags import GenerationFlags
from shizuku.errors import ConfigError, ShizukuError
from shizuku.progress import say

if TYPE_CHECKING:
    from shizuku.inference.pieces import Pieces
    from shizuku.language_model import LanguageModel

DEFAULT_MODEL = "smollm2-135m-instruct"
BLOCK = '"""'
HELP = f"""\
/reset          forget the conversation (the system prompt stays)
/system TEXT    set the system prompt; without TEXT, show it
/save FILE      write the conversation as JSON
/load FILE      go on with a saved conversation
/help           this list
/quit           leave (so does Ctrl-D)

Ctrl-C stops an answer. A line that ends with a backslash goes on in the next one;
{BLOCK} begins a message of many lines and ends it. //text sends /text."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(GenerationFlags):
    """Talk to a model in the terminal; without MODEL to smollm2-135m-instruct (pulls 93 MB once)."""

    system: str | None = None
    """System prompt: what the model is told before the conversation."""


def run(config: Config) -> dict[str, object]:
    """Hold the conversation until /quit or the end of the input; its messages and token counts."""
    settings = config.settings()
    name = config.chosen(DEFAULT_MODEL)
    lm = config.load(DEFAULT_MODEL)
    lm.require("generate")
    session = Session(lm, name, settings, config.system, quiet=config.json)
    say(f"{name}, window {lm.context} tokens; /help lists the commands")
    if not session.templated:
        say(
            f"{name} has no chat template, so it was not tuned for conversation: it goes on with the text so "
            "far, your lines and its own, as plain completion"
        )
    while (message := _read_message()) is not None:
        if message.startswith("/") and not message.startswith("//"):
            if not session.command(message):
                break
        elif message.strip():
            session.answer(message[1:] if message.startswith("//") else message)
    return {
        "messages": session.messages,
        "tokens": session.tokens,
        "seconds": round(session.seconds, 3),
        "tokens_per_second": round(session.tokens / session.seconds, 2) if session.seconds else 0.0,
    }


def show(result: dict[str, object]) -> None:
    """Nothing: everything has been said during the conversation."""


class Session:
    """One conversation: its messages, and what to do with a line."""

    def __init__(
        self,
        lm: "LanguageModel",
        name: str,
        settings: Mapping[str, Any],
        system: str | None,
        *,
        quiet: bool,
    ) -> None:
        """Begin a conversation; `quiet` keeps stdout for the JSON object and sends answers to stderr."""
        self.lm, self.name, self.settings, self.system = lm, name, dict(settings), system
        self.out = sys.stderr if quiet else sys.stdout
        self.templated = "chat" in lm.capabilities
        self.messages: list[dict[str, Any]] = []
        self.tokens, self.seconds, self._answers = 0, 0.0, 0

    def answer(self, text: str) -> None:
        """Stream the model's answer to `text`; Ctrl-C stops it and keeps what is there."""
        question = {"role": "user", "content": text}
        begun = time.perf_counter()
        first = None
        pieces, stopped = None, False
        try:
            pieces = self._pieces([*self.messages, question])
            for piece in pieces:
                first = first or time.perf_counter()
                print(piece, end="", file=self.out, flush=True)
        except KeyboardInterrupt:
            stopped = True
        except ShizukuError as error:
            say(f"no answer: {error}")
            return
        print(file=self.out, flush=True)
        if pieces is None:
            return
        pieces.close()
        ended = time.perf_counter()
        self.messages += [question, {"role": "assistant", "content": pieces.text}]
        self._answers += 1
        self.tokens += pieces.usage.completion_tokens
        self.seconds += ended - begun
        _report(pieces, first_after=(first or ended) - begun, seconds=ended - begun, stopped=stopped)

    def _pieces(self, messages: list[dict[str, Any]]) -> "Pieces":
        # Every answer draws anew, and the whole conversation still repeats with its seed.
        settings = {**self.settings, "seed": self.settings.get("seed", 0) + self._answers}
        if self.templated:
            system = [{"role": "system", "content": self.system}] if self.system else []
            return self.lm.stream_chat([*system, *messages], **settings)
        return self.lm.stream(self._transcript(messages), **settings)

    def _transcript(self, messages: list[dict[str, Any]]) -> str:
        """The conversation as plain text, without the oldest exchanges where it would not fit."""
        from shizuku.text.window import fit_conversation

        def join(some: Any) -> str:
            return "\n".join(message["content"] for message in some)

        opening = [{"role": "system", "content": self.system}] if self.system else []
        fitted = fit_conversation(
            [*opening, *messages],
            count=lambda some: len(self.lm.prompt_ids(join(some))),
            window=self.lm.context,
            reserve=min(self.settings.get("max_new_tokens", self.lm.context // 4), self.lm.context),
        )
        if fitted.dropped_turns:
            say(f"the oldest {fitted.dropped_turns} of {fitted.turns} exchanges no longer fit: left out")
        return join(fitted.messages)

    def command(self, line: str) -> bool:
        """Do what a line beginning with a slash asks; whether the conversation goes on."""
        name, _, rest = line[1:].strip().partition(" ")
        rest = rest.strip()
        if name in ("quit", "exit", "bye"):
            return False
        try:
            if name == "reset":
                self.messages.clear()
                say("the conversation is forgotten")
            elif name == "system":
                self._set_system(rest)
            elif name == "save":
                self._save(rest)
            elif name == "load":
                self._load(rest)
            elif name == "help":
                say(HELP)
            else:
                say(f"no command /{name}; /help lists them, and //{name} sends the line as a message")
        except (ConfigError, OSError) as error:
            say(f"/{name}: {error}")
        return True

    def _set_system(self, text: str) -> None:
        if text:
            self.system = text
        say(f"system prompt: {self.system}" if self.system else "no system prompt; /system TEXT sets one")

    def _save(self, file: str) -> None:
        if not file:
            raise ConfigError("say where: /save FILE")
        record = {"model": self.name, "system": self.system, "messages": self.messages}
        path = Path(file).expanduser()
        path.write_text(json.dumps(record, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
        say(f"{len(self.messages)} messages saved in {path}")

    def _load(self, file: str) -> None:
        if not file:
            raise ConfigError("say what: /load FILE")
        path = Path(file).expanduser()
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ConfigError(f"{path} is not JSON: {error}") from error
        messages = record.get("messages") if isinstance(record, dict) else None
        if not isinstance(messages, list) or not all(_is_message(message) for message in messages):
            raise ConfigError(f"{path} holds no conversation: expected what /save writes")
        self.messages, self.system = messages, record.get("system")
        say(f"{len(messages)} messages loaded from {path}")


def _is_message(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and isinstance(value.get("content"), str)
        and value.get("role") in ("user", "assistant", "system", "tool")
    )


def _report(pieces: "Pieces", *, first_after: float, seconds: float, stopped: bool) -> None:
    """One line about the answer: its tokens, how soon it began, and the speed after that."""
    usage = pieces.usage
    after_first = seconds - first_after
    speed = (
        (usage.completion_tokens - 1) / after_first if usage.completion_tokens > 1 and after_first else 0.0
    )
    parts = [
        f"{usage.completion_tokens} tokens",
        f"first after {first_after:.1f} s",
        f"{speed:.1f} tokens/s",
        f"{usage.prompt_tokens + usage.completion_tokens} of the window used",
    ]
    if stopped:
        parts.append("stopped by Ctrl-C")
    elif pieces.finish == "length":
        parts.append("cut at the limit (--max-new-tokens)")
    say(f"[{', '.join(parts)}]")


def _read_message() -> str | None:
    """The next message or command, which may span lines; None at the end of the input."""
    line = _read_line("> ")
    if line is None:
        return None
    if line.lstrip().startswith(BLOCK):
        return _read_block(line.lstrip()[len(BLOCK) :])
    while line.endswith("\\"):
        more = _read_line(". ")
        line = line[:-1] + "\n" + (more or "")
        if more is None:
            break
    return line


def _read_block(first: str) -> str:
    lines = [first] if first else []
    while not (lines and lines[-1].rstrip().endswith(BLOCK)):
        line = _read_line(". ")
        if line is None:
            return "\n".join(lines)
        lines.append(line)
    lines[-1] = lines[-1].rstrip()[: -len(BLOCK)]
    return "\n".join(lines).rstrip("\n")


def _read_line(prompt: str) -> str | None:
    if not sys.stdin.isatty():
        line = sys.stdin.readline()
        return line.rstrip("\r\n") if line else None
    _edit_lines()
    while True:
        try:
            return input(prompt)
        except EOFError:
            print(file=sys.stderr)
            return None
        except KeyboardInterrupt:
            print(file=sys.stderr)
            say("Ctrl-D or /quit leaves")


def _edit_lines() -> None:
    """Arrow keys and history in `input`, where Python was built with readline."""
    try:
        import readline  # noqa: F401
    except ImportError:
        return
