"""`LanguageModel`: a model, its tokenizer and its window, as a thin face over the functions below it.

B sequences, T tokens, V vocabulary.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import shizuku.config as configs
from shizuku.errors import CheckpointError, ConfigError, ModelError
from shizuku.inference.engine import Engine, EngineSettings
from shizuku.inference.generation import Generation
from shizuku.inference.opening import CacheKind, RuntimeKind, open_guesser, open_runtime, runtime_of
from shizuku.inference.pieces import OnlyTokens, Pieces
from shizuku.inference.requests import Processor, Request
from shizuku.inference.runtime import Runtime
from shizuku.inference.scheduling import Guesser
from shizuku.inference.scoring import Score, score_sequences, whole_logits
from shizuku.inference.settings import DEFAULT_NEW_TOKENS, GenerationSettings, settings_from
from shizuku.inference.validation import check_prompt, one_sequence
from shizuku.progress import warn_once
from shizuku.text.conversation import Message, check_messages
from shizuku.text.reading import TextReader
from shizuku.text.tokenizer import Tokenizer
from shizuku.text.window import fit_conversation

if TYPE_CHECKING:
    from shizuku.models.decoder import Decoder

# Of its own calls alone: `generate` with a long list may have so many texts at work.
OWN_ENGINE = EngineSettings(running=64)


class LanguageModel:
    """A model that continues, answers and scores text.

    `runtime` computes, `engine` shares it among requests, `model` is the torch module and `tokenizer` the
    tokenizer; `context` is the window in tokens, `generation` what the checkpoint's generation_config.json
    says, `run` its run record, `path` where it was loaded from. Nothing here imports torch but for `model`
    and for runtimes that need it.
    """

    def __init__(
        self,
        model: "Decoder | Runtime",
        tokenizer: Tokenizer,
        *,
        context: int | None = None,
        generation: Mapping[str, Any] | None = None,
        run: Mapping[str, Any] | None = None,
        path: Path | None = None,
        engine: EngineSettings | None = None,
        guesser: Guesser | None = None,
    ) -> None:
        """Put the parts together; ConfigError if `context` is longer than the model's own.

        `engine` settles the cache and the queue; `guesser` is the engine's.
        """
        self.runtime = runtime_of(model)
        if tokenizer.vocab_size > self.runtime.vocab_size:
            raise ModelError(
                f"the tokenizer has {tokenizer.vocab_size} ids, but the model only "
                f"{self.runtime.vocab_size}: they do not belong together"
            )
        longest = self.runtime.context
        if context is not None and not 1 <= context <= longest:
            raise ConfigError(
                f"--context {context}: the model's context length is {longest}; give 1 to {longest}"
            )
        self.tokenizer, self.context = tokenizer, context or longest
        self.generation, self.run, self.path = dict(generation or {}), dict(run or {}), path
        self._defaults = settings_from(self.generation, path)
        self.engine = Engine(self.runtime, engine or OWN_ENGINE, guesser=guesser)
        self._model: Decoder | None = getattr(self.runtime, "model", None)

    # ---- from disk and to it

    @classmethod
    def load(
        cls,
        name_or_path: str | Path,
        *,
        context: int | None = None,
        runtime: RuntimeKind = "auto",
        threads: int | None = None,
        cache: CacheKind = "auto",
        draft: str | Path | None = None,
        engine: EngineSettings | None = None,
    ) -> "LanguageModel":
        """Load a model by name, checkpoint directory, Hugging Face directory or `.gguf` file.

        `runtime` "native" computes with packed weights and without torch, "torch" with the torch module,
        "auto" natively where the library is there and knows the model's mechanisms, else with torch, saying
        why once. `cache` is the type of the native cache: "auto" is f16 beside integers, f32 beside floats.
        With `speculative_tokens` in `engine`, tokens are guessed ahead: looked up in the text itself, or
        made by the smaller model `draft` of the same vocabulary. A path never touches the network; a name is
        pulled if it is not here yet. Raises CheckpointError or FetchError saying what is wrong, ConfigError
        for settings that cannot be, such as a `context` longer than the model's.
        """
        from shizuku.checkpoints.names import resolve

        found = open_runtime(resolve(name_or_path), runtime=runtime, threads=threads, cache=cache)
        if found.tokenizer is None:
            raise CheckpointError(
                f"{found.path} has no tokenizer: put its tokenizer.json there, or load the weights alone "
                "with shizuku.checkpoints.directory.load_model"
            )
        return cls(
            found.runtime,
            found.tokenizer,
            context=context,
            generation=found.generation,
            run=found.run,
            path=found.path,
            engine=engine,
            guesser=open_guesser(
                None if draft is None else resolve(draft),
                found.runtime,
                engine,
                runtime=runtime,
                threads=threads,
                cache=cache,
            ),
        )

    from_pretrained = load

    @property
    def model(self) -> "Decoder":
        """The torch module; where packed weights are run it is built when first asked for, in float32."""
        if self._model is None:
            from shizuku.checkpoints.directory import load_model

            if self.path is None:
                raise CheckpointError(
                    "this model was not loaded from a path: its torch module can't be built"
                )
            self._model = load_model(self.path)
        return self._model

    def save(self, directory: str | Path) -> Path:
        """Write a checkpoint directory that Hugging Face's classes open too; returns its path."""
        from shizuku.checkpoints.directory import save_checkpoint

        return save_checkpoint(
            directory, model=self.model, tokenizer=self.tokenizer, run=self.run, generation=self.generation
        )

    save_pretrained = save

    @property
    def capabilities(self) -> frozenset[str]:
        """What it can do: "generate" and "score" always, "chat" and "tools" if its chat template does."""
        found = {"generate", "score"}
        templates = self.tokenizer.chat_templates
        if self.tokenizer.chat_template is not None:
            found.add("chat")
            if "tool_use" in templates or "tools" in templates["default"]:
                found.add("tools")
        return frozenset(found)

    # ---- text from text

    def generate(
        self,
        prompt: str | Sequence[str],
        *,
        batch_size: int = 8,
        processors: Sequence[Processor] = (),
        schema: Mapping[str, Any] | str | None = None,
        regex: str | None = None,
        **settings: Any,
    ) -> Any:
        """Continue a prompt (-> str) or each of a list of prompts (-> list of str, in their order).

        `settings` are those of `GenerationSettings`: max_new_tokens, temperature, top_k, top_p, min_p,
        repetition_penalty, seed, stop. What is left out comes from the checkpoint's generation_config.json;
        without one decoding is greedy, as in `transformers`. With a JSON `schema` or a `regex` each text
        follows it (extra `grammar`) unless the limit of tokens cuts it off. A text does not depend on the
        other prompts or on `batch_size`: draws are seeded by `seed` and the prompt's place in the list.
        Raises ConfigError for unknown or impossible settings, ModelError for a prompt that is empty or
        doesn't fit the window.
        """
        asked = self.settings(**settings)
        prompts: list[Any] = list(prompt) if isinstance(prompt, list | tuple) else [prompt]
        if not isinstance(batch_size, int) or batch_size < 1:
            raise ConfigError(f"batch_size {batch_size!r}: expected a whole number >= 1")
        ids = [self.prompt_ids(text) for text in prompts]
        readers = [TextReader(self.tokenizer, asked.stop) for _ in prompts]
        requests = [
            self._request(ids_T, asked, (*processors, *self._following(schema, regex, asked)), index)
            for index, ids_T in enumerate(ids)
        ]
        steps = Generation(self.engine, requests, at_once=batch_size)
        for step in steps:
            readers[step.index].push(step.token_id, step.finish)
            if readers[step.index].finish:
                steps.finish(step.index)
        texts = [reader.text for reader in readers]
        return texts if isinstance(prompt, list | tuple) else texts[0]

    def stream(self, prompt: str, *, processors: Sequence[Processor] = (), **settings: Any) -> Pieces:
        """Continue one prompt, giving the text in pieces of whole characters as it is made.

        Joined, they are what `generate` returns. Closing the iterator stops the model. Raises as `generate`.
        """
        asked = self.settings(**settings)
        ids = self.prompt_ids(prompt)
        steps = Generation(self.engine, [self._request(ids, asked, processors)])
        return Pieces(steps, TextReader(self.tokenizer, asked.stop), len(ids))

    def chat(self, messages: Sequence[Mapping[str, Any]], **settings: Any) -> str:
        """The text of the model's answer to a conversation; see `respond`."""
        return self.respond(messages, **settings).content

    def respond(
        self,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]] | None = None,
        **settings: Any,
    ) -> Message:
        """The model's answer to a conversation, with tool calls, token counts and dropped turns.

        A conversation longer than the window loses its oldest whole turns (never the system prompt), with a
        warning. Raises TokenizerError without a chat template, ModelError if the last turn doesn't fit.
        """
        pieces = self.stream_chat(messages, tools, **settings)
        for _ in pieces:
            pass
        return pieces.message()

    def stream_chat(
        self,
        messages: Sequence[Mapping[str, Any]],
        tools: Sequence[Mapping[str, Any]] | None = None,
        **settings: Any,
    ) -> Pieces:
        """The answer as `respond` gives it, in pieces as it is made; its `message()` is the whole."""
        check_messages(messages)
        asked = self.settings(**settings)
        reserve = asked.max_new_tokens
        if reserve is None:
            reserve = min(DEFAULT_NEW_TOKENS, self.context // 4)
        fitted = fit_conversation(
            messages,
            count=lambda some: len(self.tokenizer.encode_chat(some, tools=tools)),
            window=self.context,
            reserve=reserve,
        )
        if fitted.dropped_turns:
            warn_once(
                f"the conversation is longer than the window of {self.context} tokens: the oldest "
                f"{fitted.dropped_turns} of its {fitted.turns} turns were left out"
            )
        ids = self.tokenizer.encode_chat(fitted.messages, tools=tools)
        steps = Generation(self.engine, [self._request(ids, asked)])
        reader = TextReader(self.tokenizer, asked.stop, skip_control=tools is None)
        return Pieces(steps, reader, len(ids), dropped_turns=fitted.dropped_turns)

    # ---- numbers from text

    def score(
        self, texts: Sequence[str | Sequence[int]], contexts: Sequence[str | Sequence[int]] | None = None
    ) -> list[Score]:
        """How probable each text is, behind its context if there are `contexts` (one for each text).

        Texts and contexts (strings, or their token ids) are encoded separately and stand behind the document
        start token, so log p(a) + log p(b | a) = log p(ab) for the same tokens. A tokenizer without such a
        token leaves the first token of a text without context unscored, with a warning. The result of a text
        doesn't depend on the others. Raises ModelError for a text that is empty or longer than the window.
        """
        if isinstance(texts, str) or isinstance(contexts, str):
            raise ConfigError("score takes a list of texts, and contexts as a list: got one string")
        sequences = [self._encode(text, "text") for text in texts]
        before = [self._encode(text, "context") for text in contexts or [[]] * len(sequences)]
        if len(before) != len(sequences):
            raise ConfigError(f"{len(sequences)} texts, but {len(before)} contexts: give one for each text")
        start = self.tokenizer.document_start_id
        prefixes = [[*([] if start is None else [start]), *ids] for ids in before]
        if not all(prefixes):
            warn_once(
                "this tokenizer has no token that starts a document: "
                "the first token of a text without context is not scored"
            )
        return score_sequences(self.engine, sequences, prefixes=prefixes, context=self.context)

    def logits(self, token_ids: Any) -> np.ndarray:
        """Logits float32 [T, V] of what comes after each of `token_ids`, all read anew.

        ModelError for ids that are padded or batched: padding can't be told from text by its id.
        """
        ids = one_sequence(token_ids)
        check_prompt(ids, 0, context=self.context, vocab_size=self.runtime.vocab_size, name="token_ids")
        return whole_logits(self.engine, ids)

    # ---- how it is done

    def settings(self, **settings: Any) -> GenerationSettings:
        """The complete settings: what is given here, else the checkpoint's, else greedy decoding.

        ConfigError for an unknown name (with the nearest known one), a wrong type or an impossible value.
        """
        if isinstance(settings.get("stop"), str):
            settings["stop"] = (settings["stop"],)
        return configs.from_dict(GenerationSettings, {**self._defaults, **settings})

    def prompt_ids(self, prompt: str) -> list[int]:
        """Ids of a prompt as generation reads them.

        They begin with the tokens that the tokenizer's own files put before a text (as `transformers` does);
        an empty prompt is the document start token alone, ModelError if there is none.
        """
        if not isinstance(prompt, str):
            raise ModelError(f"a prompt is a string, got {type(prompt).__name__} {prompt!r:.60}")
        ids = [*self._prompt_start(), *self.tokenizer.encode(prompt)]
        start = self.tokenizer.document_start_id
        if not ids and start is None:
            raise ModelError(
                "the prompt is empty, and this tokenizer has no token that starts a document: give --prompt"
            )
        return ids or [start]  # type: ignore[list-item]  # not None: checked above

    def _prompt_start(self) -> list[int]:
        tokenizer = self.tokenizer
        if tokenizer.bos_id is None:
            return []
        added = list(tokenizer.backend.encode("").ids) == [tokenizer.bos_id]
        return [tokenizer.bos_id] if added or tokenizer.settings.get("add_bos_token") else []

    def _encode(self, text: str | Sequence[int], what: str) -> list[int]:
        return self.tokenizer.encode(text) if isinstance(text, str) else one_sequence(text, what)

    def _limit(self, ids: Sequence[int], asked: GenerationSettings) -> int:
        room = min(self.context, self.engine.capacity) - len(ids)
        limit = asked.max_new_tokens
        if limit is None:
            limit = max(min(DEFAULT_NEW_TOKENS, room), 1)
        check_prompt(ids, limit, context=self.context, vocab_size=self.runtime.vocab_size)
        return limit

    def request(
        self,
        ids: Sequence[int],
        *,
        processors: Sequence[Processor] = (),
        logprobs: int | None = None,
        prompt_logprobs: bool = False,
        index: int = 0,
        client: str = "",
        **settings: Any,
    ) -> Request:
        """What to give `engine.submit` to have token ids continued, as `generate` continues a text.

        The strings in `stop` are the caller's to look for, with a `TextReader`. Raises as `generate`.
        """
        return replace(
            self._request(ids, self.settings(**settings), processors, index),
            logprobs=logprobs,
            prompt_logprobs=prompt_logprobs,
            client=client,
        )

    def _following(
        self, schema: Mapping[str, Any] | str | None, regex: str | None, asked: GenerationSettings
    ) -> list[Processor]:
        if schema is None and regex is None:
            return []
        from shizuku.inference.grammar import constraint

        grammar = constraint(self.tokenizer, schema=schema, regex=regex, stop=asked.stop)
        return [] if grammar is None else [grammar.processor()]

    def _request(
        self,
        ids: Sequence[int],
        asked: GenerationSettings,
        processors: Sequence[Processor] = (),
        index: int = 0,
    ) -> Request:
        if self.runtime.vocab_size > self.tokenizer.vocab_size:
            processors = (*processors, OnlyTokens(self.tokenizer.vocab_size))
        request = Request(
            ids=ids,
            settings=replace(asked, max_new_tokens=self._limit(ids, asked)),
            stop_ids=self.tokenizer.stop_ids,
            processors=processors,
            index=index,
        )
        self.engine.check(request)
        return request


load = LanguageModel.load
