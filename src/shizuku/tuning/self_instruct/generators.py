"""Who writes the tasks: a model of ours through its engine, or a server at an OpenAI-compatible address."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from shizuku.errors import ConfigError, MissingExtraError, ServerError
from shizuku.tuning.self_instruct.prompts import Prompt

if TYPE_CHECKING:
    from shizuku.language_model import LanguageModel

Form = Literal["completion", "chat"]
CHARACTERS = 12_000
"""Longest prompt for a server, whose window is not known: about 3,000 tokens of English."""
SECONDS, RETRIES = 600.0, 5
"""How long a server may take for one answer, and how often it is asked again."""


@dataclass(frozen=True, slots=True)
class Question:
    """One request."""

    number: int
    """Its place among all requests of the run; with the seed it settles the draws."""
    prompt: Prompt
    """What the model goes on with."""
    new_tokens: int
    """Most tokens of the answer."""
    temperature: float
    """0 is greedy."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    text: str
    """The text up to a stop string."""
    cut: bool
    """Whether the limit of tokens ended it."""


class Generator(Protocol):
    """Answers questions."""

    def fits(self, text: str, new_tokens: int) -> bool:
        """Whether a prompt and its answer find room."""

    def answers(self, questions: Sequence[Question]) -> Iterator[tuple[Question, Answer]]:
        """The answers, each as soon as it is complete."""


class LocalGenerator:
    """A `LanguageModel`: the questions of a batch share its engine, and none changes another's answer."""

    def __init__(self, lm: "LanguageModel", *, form: Form, top_p: float, seed: int) -> None:
        """`form` "chat" asks through the chat template instead of having the prompt continued."""
        self._lm, self._form = lm, form
        self._sampling: dict[str, Any] = {"top_p": top_p, "seed": seed}

    def fits(self, text: str, new_tokens: int) -> bool:
        """Whether the prompt's tokens and the answer's stand in the window."""
        room = min(self._lm.context, self._lm.engine.capacity)
        return len(self._ids(text)) + new_tokens <= room

    def answers(self, questions: Sequence[Question]) -> Iterator[tuple[Question, Answer]]:
        """The answers, each as soon as it is complete."""
        from shizuku.inference.generation import Generation
        from shizuku.text.reading import TextReader

        asked = {question.number: question for question in questions}
        readers = {
            number: TextReader(self._lm.tokenizer, question.prompt.stop) for number, question in asked.items()
        }
        steps = Generation(
            self._lm.engine,
            [
                self._lm.request(
                    self._ids(question.prompt.text),
                    index=question.number,
                    max_new_tokens=question.new_tokens,
                    temperature=question.temperature,
                    **self._sampling,
                )
                for question in questions
            ],
        )
        for step in steps:
            reader = readers.get(step.index)
            if reader is None:
                continue
            reader.push(step.token_id, step.finish)
            if reader.finish:
                steps.finish(step.index)
                del readers[step.index]
                yield asked[step.index], Answer(reader.text, reader.finish == "length")

    def _ids(self, text: str) -> list[int]:
        if self._form == "chat":
            return self._lm.tokenizer.encode_chat([{"role": "user", "content": text}])
        return self._lm.prompt_ids(text)


class ServedGenerator:
    """A server with OpenAI's API, asked through OpenAI's own client (extra `instruct`)."""

    def __init__(self, address: str, *, model: str | None, form: Form, top_p: float, seed: int) -> None:
        """Ask the model of this name, or the first that the server lists.

        MissingExtraError without the client, ServerError where nobody answers at the address.
        """
        try:
            import openai
        except ImportError as error:
            raise MissingExtraError(
                "asking a server needs openai: pip install 'shizuku[instruct]'"
            ) from error
        self._errors, self._address, self._form = openai.OpenAIError, address, form
        # Servers of one's own want no key, but the client does.
        key = os.environ.get("OPENAI_API_KEY") or "none"
        self._client = openai.OpenAI(base_url=address, api_key=key, timeout=SECONDS, max_retries=RETRIES)
        self._sampling: dict[str, Any] = {"top_p": top_p}
        self._seed = seed
        self.model = model or self._first_model()

    def fits(self, text: str, new_tokens: int) -> bool:
        """Whether the prompt is of a length that servers usually take."""
        return len(text.encode()) <= CHARACTERS

    def answers(self, questions: Sequence[Question]) -> Iterator[tuple[Question, Answer]]:
        """The answers, each as soon as it has come; all questions are asked at once."""
        with ThreadPoolExecutor(max(len(questions), 1)) as pool:
            pending = {pool.submit(self._ask, question): question for question in questions}
            try:
                for done in as_completed(pending):
                    yield pending[done], done.result()
            finally:
                for future in pending:
                    future.cancel()

    def _ask(self, question: Question) -> Answer:
        settings = {
            "model": self.model,
            "max_tokens": question.new_tokens,
            "temperature": question.temperature,
            "stop": list(question.prompt.stop),
            "seed": self._seed + question.number,
            **self._sampling,
        }
        try:
            if self._form == "chat":
                messages: Any = [{"role": "user", "content": question.prompt.text}]
                choice = self._client.chat.completions.create(messages=messages, **settings).choices[0]
                text = choice.message.content or ""
            else:
                choice = self._client.completions.create(prompt=question.prompt.text, **settings).choices[0]
                text = choice.text
        except self._errors as error:
            raise ServerError(
                f"{self._address}: request {question.number} failed: {error}. What was answered before is "
                "kept: once the server works, go on with --resume"
            ) from error
        # Half of a surrogate pair, which JSON can carry, could not be written to any file.
        return Answer(text.encode("utf-8", "replace").decode(), choice.finish_reason == "length")

    def _first_model(self) -> str:
        try:
            models = self._client.models.list().data
        except self._errors as error:
            raise ServerError(
                f"{self._address}: no list of models: {error}. Give an address such as "
                "http://127.0.0.1:8080/v1, and --served-model where the server lists none"
            ) from error
        if not models:
            raise ServerError(f"{self._address}: the server lists no model; give --served-model")
        return str(models[0].id)


def is_address(model: str) -> bool:
    """Whether a model is named by the address of a server."""
    return model.startswith(("http://", "https://"))


def open_generator(
    model: str, *, served: str | None, form: Form, top_p: float, seed: int, threads: int | None
) -> Generator:
    """The generator for a name, a path or an address."""
    if is_address(model):
        return ServedGenerator(model, model=served, form=form, top_p=top_p, seed=seed)
    if served is not None:
        raise ConfigError(f"--served-model {served}: {model} is no address of a server; leave it out")
    from shizuku.language_model import LanguageModel

    lm = LanguageModel.load(Path(model) if Path(model).exists() else model, threads=threads)
    return LocalGenerator(lm, form=form, top_p=top_p, seed=seed)
