"""`Translator`: a model that writes a target for a source, and its tokenizer, as a thin face.

Legend: `T` target words or tokens, `S` source words or tokens.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from shizuku.errors import ConfigError, ModelError
from shizuku.inference.scoring import Score
from shizuku.text.tokenizer import Tokenizer

END = "(end)"
"""What the token that ends a sentence is called in pictures."""


@dataclass(frozen=True, slots=True, eq=False)
class Looks:
    """Where a model looks in the source while it writes the target."""

    source: tuple[str, ...]
    """The source's words (or tokens), and its end."""
    target: tuple[str, ...]
    """The target's words (or tokens), and its end."""
    weights_TS: np.ndarray
    """float32 [T, S]: how much each word of the target, as a mean over its tokens, comes from each of the
    source, as a sum over its tokens. Rows sum to one."""


_ABILITIES = {"translate": "translate", "score": "score", "look": "attention"}
"""What abilities of architectures are called here, by the methods."""


class Translator:
    """A translation model.

    `model` is the torch module and `tokenizer` the tokenizer of both languages; `capabilities` are the names
    of what it can do ("attention" only where the decoder looks at the source); `run` is the run record,
    `generation` what generation_config.json says, `path` where it was loaded from.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Tokenizer,
        *,
        generation: Mapping[str, Any] | None = None,
        run: Mapping[str, Any] | None = None,
        path: Path | None = None,
    ) -> None:
        """Put the parts together; ModelError where they do not fit."""
        if tokenizer.vocab_size > model.config.vocab_size:
            raise ModelError(
                f"the tokenizer has {tokenizer.vocab_size} ids, but the model only "
                f"{model.config.vocab_size}: they do not belong together"
            )
        start, end = model.config.start_id, tokenizer.eos_id
        start = tokenizer.document_start_id if start is None else start
        if start is None or end is None:
            raise ModelError(
                "the tokenizer has no token that ends a sentence (eos): no translation would end"
            )
        self.model, self.tokenizer = model.eval(), tokenizer
        self.generation, self.run, self.path = dict(generation or {}), dict(run or {}), path
        self.start_id, self.end_id = int(start), int(end)
        from shizuku.models.architectures import abilities_of

        able = abilities_of(model.config)
        self.capabilities = frozenset(_ABILITIES[each] for each in able if each in _ABILITIES)

    @classmethod
    def load(cls, name_or_path: str | Path, *, threads: int | None = None) -> "Translator":
        """Open a checkpoint directory; raises as `LanguageModel.load`, ModelError for one that is no
        translation model.
        """
        from shizuku.checkpoints.directory import load_checkpoint
        from shizuku.checkpoints.names import resolve
        from shizuku.checkpoints.undisturbed import needed_tokenizer
        from shizuku.models.architectures import require

        path = resolve(name_or_path)
        if threads is not None:
            import torch

            torch.set_num_threads(threads)
        found = load_checkpoint(path)
        require(found.model.config, "translate")
        tokenizer = needed_tokenizer(found.tokenizer, path)
        return cls(found.model, tokenizer, generation=found.generation, run=found.run, path=path)

    from_pretrained = load

    def save(self, directory: str | Path) -> Path:
        """Write a checkpoint directory; returns its path."""
        from shizuku.checkpoints.directory import save_checkpoint

        return save_checkpoint(
            directory, model=self.model, tokenizer=self.tokenizer, run=self.run, generation=self.generation
        )

    save_pretrained = save

    @property
    def context(self) -> int:
        """Tokens of a source, its end counted, and of a target, that the model can take."""
        return int(self.model.config.context)

    def tokens(self, text: str) -> int:
        """Tokens of a text, its end counted: those that `context` limits."""
        return len(self.tokenizer.encode(text)) + 1

    def check(self, texts: Sequence[str]) -> None:
        """ModelError naming the first of the texts that is longer than the window."""
        for number, text in enumerate(texts, start=1):
            if text.strip():
                self._source(text, f"text {number}")

    def translate(
        self,
        text: str | Sequence[str],
        *,
        beams: int = 4,
        length_penalty: float = 1.0,
        max_new_tokens: int | None = None,
        batch_size: int = 32,
    ) -> Any:
        """Translate a text (-> str) or each of a list of texts (-> list of str); a blank one stays blank.

        Settings are those of `BeamSettings`; with one beam the best token is always taken. A translation does
        not depend on the other texts. Raises ConfigError for impossible settings, ModelError for a text
        longer than the window.
        """
        if not isinstance(text, Iterable):
            raise ModelError(
                f"translate takes a text or a list of texts: got {type(text).__name__} {text!r:.60}"
            )
        texts = [text] if isinstance(text, str) else list(text)
        given = {"beams": beams, "length_penalty": length_penalty, "max_new_tokens": max_new_tokens}
        found = self.hypotheses(texts, batch_size=batch_size, **given)
        written = [self.tokenizer.decode(each[0].ids) if each else "" for each in found]
        return written[0] if isinstance(text, str) else written

    def hypotheses(self, texts: Sequence[str], *, batch_size: int = 32, **settings: Any) -> list[list[Any]]:
        """All translations that were found for each text, as `Hypothesis`, the best first; none for a blank
        one. Settings and errors as of `translate`.
        """
        from shizuku.inference.beams import BeamSettings, search

        unknown = sorted(set(settings) - set(BeamSettings.__dataclass_fields__))
        if unknown:
            known = ", ".join(BeamSettings.__dataclass_fields__)
            raise ConfigError(f"unknown setting {unknown[0]}; known: {known}, batch_size")
        if isinstance(texts, str):
            raise ConfigError("hypotheses takes a list of texts: got one string")
        _check(batch_size, {"text": texts})
        asked = BeamSettings(**settings)
        wanted = [number for number, text in enumerate(texts) if text.strip()]
        sources = [self._source(texts[number], f"text {number + 1}") for number in wanted]
        unwritten = set(self.tokenizer.control) | set(
            range(self.tokenizer.vocab_size, self.model.config.vocab_size)
        )
        found = search(
            self.model, sources, asked, start_id=self.start_id, end_id=self.end_id,
            banned=unwritten - {self.end_id}, batch_size=batch_size,
        )  # fmt: skip
        results: list[list[Any]] = [[] for _ in texts]
        for number, each in zip(wanted, found, strict=True):
            results[number] = each
        return results

    def score(self, targets: Sequence[str], sources: Sequence[str], *, batch_size: int = 32) -> list[Score]:
        """How probable each target is as the translation of its source, its end counted.

        The result of a pair does not depend on the others. Raises ConfigError for unequal numbers, ModelError
        for an empty or too long text.
        """
        if isinstance(targets, str) or isinstance(sources, str):
            raise ConfigError("score takes a list of targets and a list of sources: got one string")
        if len(targets) != len(sources):
            raise ConfigError(f"{len(targets)} targets, but {len(sources)} sources: give one for each target")
        _check(batch_size, {"target": targets, "source": sources})
        from shizuku.inference.beams import score_pairs
        from shizuku.training.pair_batches import Ends, pair_batch

        ours = [self._source(text, f"source {n + 1}")[:-1] for n, text in enumerate(sources)]
        theirs = [self._source(text, f"target {n + 1}")[:-1] for n, text in enumerate(targets)]
        order = sorted(range(len(ours)), key=lambda number: len(theirs[number]))
        scores: dict[int, Score] = {}
        for at in range(0, len(order), batch_size):
            numbers = order[at : at + batch_size]
            batch = pair_batch(
                [ours[n] for n in numbers], [theirs[n] for n in numbers], Ends(self.start_id, self.end_id)
            )
            logp_BT, greedy_BT = score_pairs(self.model, batch.sources, batch.ids_BT, batch.targets_BT)
            for row, number in enumerate(numbers):
                tokens = len(theirs[number]) + 1
                scores[number] = Score(
                    logp_BT[row, :tokens].numpy(),
                    bool(greedy_BT[row, :tokens].all()),
                    (*theirs[number], self.end_id),
                    0,
                )
        return [scores[number] for number in range(len(ours))]

    def attention(
        self, source: str, target: str | None = None, *, layer: int | None = None, words: bool = True
    ) -> Looks:
        """Where the model looks in the source while it writes the target, by default its own translation.

        As a mean over heads, and over layers unless one is chosen. Tokens are put together to words, which
        white space parts, unless `words` is False. Raises ModelError for a model without attention,
        ConfigError for a layer that it doesn't have.
        """
        import torch

        from shizuku.training.pair_batches import Ends, pair_batch

        ours = self._source(source, "the source")[:-1]
        if target is None:
            target = self.translate(source)
        theirs = self._source(target, "the target")[:-1]
        batch = pair_batch([ours], [theirs], Ends(self.start_id, self.end_id))
        with torch.inference_mode():
            pattern_LTS = self.model.pattern(batch.ids_BT, sources=batch.sources)[0].float()
        layers = len(pattern_LTS)
        if layer is not None and not 0 <= layer < layers:
            raise ConfigError(f"--layer {layer}: the model looks at the source in layers 0 to {layers - 1}")
        weights_TS = (pattern_LTS.mean(0) if layer is None else pattern_LTS[layer]).numpy()
        columns, rows = self._pieces(ours, words), self._pieces(theirs, words)
        summed = np.stack([weights_TS[:, some].sum(1) for _, some in columns], 1)
        meant = np.stack([summed[some].mean(0) for _, some in rows])
        return Looks(tuple(name for name, _ in columns), tuple(name for name, _ in rows), meant)

    def _pieces(self, ids: Sequence[int], words: bool) -> list[tuple[str, list[int]]]:
        """The words (or tokens) of a sentence with the places of their tokens, and its end."""
        groups: list[list[int]] = []
        for place, token in enumerate(ids):
            begins = self.tokenizer.token_bytes(token)[:1].isspace()
            if groups and words and not begins:
                groups[-1].append(place)
            else:
                groups.append([place])
        named = [(self.tokenizer.decode([ids[place] for place in some]).strip(), some) for some in groups]
        return [*named, (END, [len(ids)])]

    def _source(self, text: str, what: str) -> list[int]:
        ids = [*self.tokenizer.encode(text), self.end_id]
        if len(ids) == 1:
            raise ModelError(f"{what} is empty: there is nothing to translate")
        if len(ids) > self.context:
            raise ModelError(
                f"{what} has {len(ids)} tokens with its end, the model's window is {self.context}: give it "
                "in sentences"
            )
        return ids

    # ---- what it can't do

    def _cannot(self, what: str) -> NoReturn:
        raise ModelError(
            f"this is a translation model: it does not {what}, it can translate(text), score(targets, "
            "sources) and show its attention(source, target); shizuku translate in the terminal"
        )

    def generate(self, *given: Any, **more: Any) -> NoReturn:
        """Raise ModelError: a target is written for a source."""
        self._cannot("continue a text")

    def stream(self, *given: Any, **more: Any) -> NoReturn:
        """Raise ModelError: a target is written for a source."""
        self._cannot("continue a text")

    def chat(self, *given: Any, **more: Any) -> NoReturn:
        """Raise ModelError: a target is written for a source."""
        self._cannot("chat")

    def respond(self, *given: Any, **more: Any) -> NoReturn:
        """Raise ModelError: a target is written for a source."""
        self._cannot("chat")

    def embed(self, *given: Any, **more: Any) -> NoReturn:
        """Raise ModelError: a target is written for a source."""
        self._cannot("give vectors of texts")

    def logits(self, *given: Any, **more: Any) -> NoReturn:
        """Raise ModelError: `model` itself gives them, for ids and sources."""
        self._cannot("give logits of one text (model(ids_BT, sources=…) does)")


def _check(batch_size: int, named: Mapping[str, Sequence[str]]) -> None:
    """ConfigError for a batch size that can't be, ModelError for a text that is none."""
    if not isinstance(batch_size, int) or batch_size < 1:
        raise ConfigError(f"batch_size {batch_size!r}: expected a whole number >= 1")
    for name, texts in named.items():
        for number, text in enumerate(texts, start=1):
            if not isinstance(text, str):
                raise ModelError(f"{name} {number} is no string: got {type(text).__name__} {text!r:.60}")
