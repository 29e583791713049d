"""`LanguageModel`: a model, its tokenizer and its window, as a thin face over the functions below it.

B sequences, T tokens, V vocabulary.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import shizuku.config as configs
from shizuku.adapters.weights import AdapterWeights
from shizuku.checkpoints.pooling import Pooling, declared_pooling
from shizuku.errors import CheckpointError, ConfigError, ModelError
from shizuku.inference.adapting import kind_of
from shizuku.inference.beside import Beside, put_beside
from shizuku.inference.embedding import embed_texts
from shizuku.inference.engine import Engine, EngineSettings
from shizuku.inference.following import following
from shizuku.inference.generation import Generation
from shizuku.inference.opening import (
    CacheKind,
    RuntimeKind,
    open_guesser,
    open_module,
    open_runtime,
    runtime_of,
)
from shizuku.inference.pieces import OnlyTokens, Pieces
from shizuku.inference.requests import Processor, Request
from shizuku.inference.runtime import Runtime
from shizuku.inference.scheduling import Guesser
from shizuku.inference.scoring import Score, whole_logits
from shizuku.inference.settings import GenerationSettings, limit_of, reserve_of, settings_from
from shizuku.inference.text_scores import score_texts
from shizuku.inference.validation import check_prompt, one_sequence
from shizuku.models.architectures import Ability, abilities_of, require
from shizuku.text.conversation import Message, check_messages
from shizuku.text.prompting import conversation_ids, conversing, prompt_ids
from shizuku.text.reading import TextReader
from shizuku.text.tokenizer import Tokenizer

if TYPE_CHECKING:
    from shizuku.models.decoder import Decoder

# Of its own calls alone: `generate` with a long list may have so many texts at work.
OWN_ENGINE = EngineSettings(running=64)


class LanguageModel:
    """A model that continues, answers and scores text.

    `runtime` computes, `engine` shares it among requests, `model` is the torch module and `tokenizer` the
    tokenizer; `context` is the window in tokens, `generation` what the checkpoint's generation_config.json
    says, `run` its run record, `path` where it was loaded from; `adapter` is the name of the adapter that
    acts, see `adapted`. Nothing here imports torch but for `model` and for runtimes that need it.
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
        self.adapter: str | None = None
        self._beside: dict[str, Beside] = {}
        self._base: LanguageModel | None = None  # of a model under an adapter

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
        adapters: Mapping[str, str | Path] | None = None,
    ) -> "LanguageModel":
        """Load a model by name, checkpoint directory, Hugging Face directory or `.gguf` file.

        `runtime` "native" computes with packed weights and without torch, "torch" with the torch module,
        "auto" natively where the library is there and knows the model's mechanisms, else with torch, saying
        why once. `cache` is the type of the native cache: "auto" is f16 beside integers, f32 beside floats.
        With `speculative_tokens` in `engine`, tokens are guessed ahead: looked up in the text itself, or
        made by the smaller model `draft` of the same vocabulary. `adapters` are directories, by the names
        that calls choose them by: see `add_adapter`. A path never touches the network; a name is pulled if it
        is not here yet. Raises CheckpointError or FetchError saying what is wrong, ConfigError
        for settings that cannot be, such as a `context` longer than the model's.
        """
        from shizuku.checkpoints.names import resolve

        how: dict[str, Any] = {"runtime": runtime, "threads": threads, "cache": cache}
        found = open_runtime(resolve(name_or_path), **how)
        if found.tokenizer is None:
            raise CheckpointError(
                f"{found.path} has no tokenizer: put its tokenizer.json there, or load the weights alone "
                "with shizuku.checkpoints.directory.load_model"
            )
        lm = cls(
            found.runtime,
            found.tokenizer,
            context=context,
            generation=found.generation,
            run=found.run,
            path=found.path,
            engine=engine,
            guesser=open_guesser(None if draft is None else resolve(draft), found.runtime, engine, **how),
        )
        for name, adapter in (adapters or {}).items():
            lm.add_adapter(name, adapter)
        return lm

    from_pretrained = load

    @property
    def model(self) -> "Decoder":
        """The torch module; where packed weights are run it is built when first asked for, in float32.

        With an adapter acting it is merged into it.
        """
        if self._model is None:
            self._model = open_module(self.path, base=None if self._base is None else self._base.path)
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
        """What it can do by its architecture ("generate", "score", "embed", "fill"), and "chat" and "tools"
        if it can generate and its chat template knows them.
        """
        config = getattr(self.runtime, "config", None)
        if config is None:
            able: tuple[str, ...] = ("generate", "score")
        else:
            able = abilities_of(config)
        return frozenset(able) | (conversing(self.tokenizer) if "generate" in able else set())

    def require(self, ability: Ability) -> None:
        """ModelError, which says what it can do, where it has not this ability of its architecture."""
        if (config := getattr(self.runtime, "config", None)) is not None:
            require(config, ability)

    # ---- adapters

    @property
    def adapters(self) -> tuple[str, ...]:
        """The names of the adapters beside it."""
        return self.engine.adapters

    def add_adapter(
        self, name: str, adapter: AdapterWeights | str | Path, *, another_base: bool = False
    ) -> None:
        """Have one more adapter, from a directory of ours or of PEFT's, that calls choose by its name.

        Raises CheckpointError if it was trained on another base, unless `another_base`; ModelError if it
        doesn't fit the model, ConfigError for a name that is taken.
        """
        path = (self._base or self).path
        self._beside[name] = put_beside(self.engine, name, adapter, base=path, another_base=another_base)

    def adapted(self, adapter: str | None) -> "LanguageModel":
        """The same model with this adapter acting, or with none; runtime and engine are shared.

        What the adapter's directory has besides (tokenizer, generation_config.json) counts then. ConfigError
        for a name that it has no adapter of.
        """
        kind_of(self.runtime, adapter)
        base = self._base or self
        if adapter is None:
            return base
        own, found = self._beside.get(adapter, Beside()), copy.copy(base)
        found.adapter, found._base, found._model = adapter, base, None
        found.tokenizer = own.tokenizer or base.tokenizer
        found.generation, found.run = {**base.generation, **own.generation}, dict(own.run)
        found.path, found._defaults = own.path, settings_from(found.generation, own.path)
        return found

    # ---- text from text

    def generate(
        self,
        prompt: str | Sequence[str],
        *,
        adapter: str | None = None,
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
        `adapter` names one of `adapters`, which acts on these texts.
        Raises ConfigError for unknown or impossible settings, ModelError for a prompt that is empty or
        doesn't fit the window.
        """
        if adapter is not None:
            rest: dict[str, Any] = {"processors": processors, "schema": schema, "regex": regex, **settings}
            return self.adapted(adapter).generate(prompt, batch_size=batch_size, **rest)
        asked = self.settings(**settings)
        prompts: list[Any] = list(prompt) if isinstance(prompt, list | tuple) else [prompt]
        if not isinstance(batch_size, int) or batch_size < 1:
            raise ConfigError(f"batch_size {batch_size!r}: expected a whole number >= 1")
        ids = [self.prompt_ids(text) for text in prompts]
        readers = [TextReader(self.tokenizer, asked.stop) for _ in prompts]
        requests = [
            self._request(
                ids_T, asked, (*processors, *following(self.tokenizer, schema, regex, asked.stop)), index
            )
            for index, ids_T in enumerate(ids)
        ]
        steps = Generation(self.engine, requests, at_once=batch_size)
        for step in steps:
            readers[step.index].push(step.token_id, step.finish)
            if readers[step.index].finish:
                steps.finish(step.index)
        texts = [reader.text for reader in readers]
        return texts if isinstance(prompt, list | tuple) else texts[0]

    def stream(
        self,
        prompt: str,
        *,
        adapter: str | None = None,
        processors: Sequence[Processor] = (),
        **settings: Any,
    ) -> Pieces:
        """Continue one prompt, giving the text in pieces of whole characters as it is made.

        Joined, they are what `generate` returns. Closing the iterator stops the model. Raises as `generate`.
        """
        if adapter is not None:
            return self.adapted(adapter).stream(prompt, processors=processors, **settings)
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
        *,
        adapter: str | None = None,
        **settings: Any,
    ) -> Pieces:
        """The answer as `respond` gives it, in pieces as it is made; its `message()` is the whole."""
        if adapter is not None:
            return self.adapted(adapter).stream_chat(messages, tools, **settings)
        self.require("generate")
        check_messages(messages)
        asked = self.settings(**settings)
        reserve = reserve_of(asked, self.context, self._usual_tokens)
        ids, dropped = conversation_ids(self.tokenizer, messages, tools, window=self.context, reserve=reserve)
        steps = Generation(self.engine, [self._request(ids, asked)])
        reader = TextReader(self.tokenizer, asked.stop, skip_control=tools is None)
        return Pieces(steps, reader, len(ids), dropped_turns=dropped)

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
        engine, tokenizer, acting = self.engine, self.tokenizer, self.adapter
        return score_texts(engine, tokenizer, texts, contexts, context=self.context, adapter=acting)

    def logits(self, token_ids: Any) -> np.ndarray:
        """Logits float32 [T, V] of what comes after each of `token_ids`, all read anew.

        ModelError for ids that are padded or batched: padding can't be told from text by its id.
        """
        ids = one_sequence(token_ids)
        check_prompt(ids, 0, context=self.context, vocab_size=self.runtime.vocab_size, name="token_ids")
        return whole_logits(self.engine, ids, adapter=self.adapter)

    def embed(self, texts: Sequence[str | Sequence[int]], *, pooling: Pooling | None = None) -> np.ndarray:
        """A vector for each text, float32 [N, D], of length one: their products are cosines.

        It is made of the vectors behind the last layer: their "mean", or the "first" token's, which only a
        model that reads whole texts has; None does as a directory of sentence-transformers' says, else the
        mean. ModelError for a text that is longer than the window, or without a token where none stands
        before it.
        """
        pooling, acting = pooling or declared_pooling(self.path), self.adapter
        return embed_texts(
            self.engine, self.tokenizer, texts, context=self.context, adapter=acting, pooling=pooling
        )

    # ---- how it is done

    def settings(self, **settings: Any) -> GenerationSettings:
        """The complete settings: what is given here, else the checkpoint's, else greedy decoding.

        ConfigError for an unknown name (with the nearest known one), a wrong type or an impossible value.
        """
        if isinstance(settings.get("stop"), str):
            settings["stop"] = (settings["stop"],)
        # How long a checkpoint's answers are is what is usual, and no demand: a window may have less room.
        usual = {**self._defaults, "max_new_tokens": None}
        return configs.from_dict(GenerationSettings, {**usual, **settings})

    @property
    def _usual_tokens(self) -> int | None:
        limit: int | None = self._defaults.get("max_new_tokens")
        return limit

    def prompt_ids(self, prompt: str) -> list[int]:
        """Ids of a prompt as generation reads them.

        They begin with the tokens that the tokenizer's own files put before a text (as `transformers` does);
        an empty prompt is the document start token alone, ModelError if there is none.
        """
        return prompt_ids(self.tokenizer, prompt)

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

    def _request(
        self,
        ids: Sequence[int],
        asked: GenerationSettings,
        processors: Sequence[Processor] = (),
        index: int = 0,
    ) -> Request:
        self.require("generate")
        if self.runtime.vocab_size > self.tokenizer.vocab_size:
            processors = (*processors, OnlyTokens(self.tokenizer.vocab_size))
        limit = limit_of(
            asked, room=min(self.context, self.engine.capacity) - len(ids), usual=self._usual_tokens
        )
        check_prompt(ids, limit, context=self.context, vocab_size=self.runtime.vocab_size)
        request = Request(
            ids=ids,
            settings=replace(asked, max_new_tokens=limit),
            stop_ids=self.tokenizer.stop_ids,
            processors=processors,
            index=index,
            adapter=self.adapter,
        )
        self.engine.check(request)
        return request


def load(name_or_path: str | Path, **settings: Any) -> Any:
    """Load any model: a `LanguageModel`, with the settings of its `load`; a `Translator` where that is what
    the model does, whose only setting is `threads`; an `AlignmentModel` of words, which has none.
    """
    from shizuku.checkpoints.alignment import is_alignment, load_alignment
    from shizuku.checkpoints.huggingface import architecture_at
    from shizuku.checkpoints.names import resolve

    path = resolve(name_or_path)
    if is_alignment(path) and not settings:
        return load_alignment(path)
    kind = architecture_at(path)
    if kind != "decoder":
        from shizuku.models.architectures import architecture
        from shizuku.translation import Translator

        if architecture(kind).runs == "pairs":
            strange = sorted(settings.keys() - {"threads"})
            if strange:
                raise ConfigError(f"{path} is a translation model: it has no setting {', '.join(strange)}")
            return Translator.load(path, **settings)
    return LanguageModel.load(path, **settings)
