"""A compiled grammar: which tokens of a vocabulary may follow a text, step by step. Without torch.

V vocabulary. The work is done by `llguidance`, which reads the bytes of tokens, so that a token may cross
the borders of the structure. Whatever breaks off is never called complete.
"""

import re
import threading
import weakref
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import numpy as np

from shizuku.errors import ConfigError, MissingExtraError, ModelError
from shizuku.text.tokenizer import Tokenizer

KEPT_GRAMMARS = 64
"""Compiled grammars kept for each tokenizer, the ones used last."""
MOST_STATES = 100_000
"""States worked out for one grammar before it begins anew, 1 to 2 kB each; most have a few hundred."""

_NO_TOKEN = "no token of this vocabulary continues the text as the grammar demands"


class Grammar:
    """A compiled grammar for one vocabulary; made by the functions below."""

    def __init__(self, vocabulary: "Vocabulary", source: str, described: str) -> None:
        self.vocabulary, self.described = vocabulary, described
        self._source = source
        self.matcher = vocabulary.matcher(source, described)
        """At the beginning of the text; copies of it share what has been worked out on the way."""

    def processor(self, prompt_tokens: int | None = None) -> "GrammarProcessor":
        """A fresh processor for one request, whose prompt has `prompt_tokens` (None: what it first sees)."""
        return GrammarProcessor(self, prompt_tokens)

    def accepts(self, ids: Sequence[int]) -> bool:
        """Whether the tokens `ids`, without a stop token, are a whole text of this grammar."""
        matcher = self.matcher.deep_copy()
        return bool(matcher.try_consume_tokens(list(ids)) == len(ids) and matcher.is_accepting())

    def renew(self, full: Any) -> None:
        """Forget what all copies of the matcher `full` have worked out: together they reached its limit."""
        if self.matcher is full:
            self.matcher = self.vocabulary.matcher(self._source, self.described)


class GrammarProcessor:
    """Keeps one request to its grammar: `(ids, logits_V) -> logits_V`.

    `ids` are the prompt and what has been made so far. They may grow by any number of tokens between two
    calls or go back to an earlier point, as speculative decoding does.
    """

    pure = True
    """The same ids give the same answer, whatever was asked before: tokens may be guessed ahead."""

    def __init__(self, grammar: Grammar, prompt_tokens: int | None) -> None:
        self._grammar = grammar
        self._begin()
        self._start = prompt_tokens
        self.problem = ""
        """Why no token at all is allowed, where that is so: the request has to end, unfinished."""

    def _begin(self) -> None:
        self._pristine = self._grammar.matcher
        self._matcher = self._pristine.deep_copy()
        self._read: list[int] = []

    def __call__(self, ids: Sequence[int], logits_V: np.ndarray) -> np.ndarray:
        """A copy of the logits float32 [V] with -inf for each token that may not follow.

        A stop token may follow exactly where the grammar may end. All -inf means that this vocabulary cannot
        go on (`problem` says why). ModelError if `ids` hold a token that the grammar did not allow.
        """
        self._follow(ids)
        allowed_V = self._allowed(len(logits_V))
        return np.where(allowed_V, logits_V, np.float32(-np.inf))

    @property
    def complete(self) -> bool:
        """Whether what was read is a whole text of the grammar, so that it may end here."""
        return bool(not self._matcher.is_error() and self._matcher.is_accepting())

    @property
    def only_stop(self) -> bool:
        """Whether the text is whole and only a stop token may follow: it can be ended without one."""
        return self.complete and bool(self._matcher.is_stopped())

    def allowed(self, ids: Sequence[int], proposals: Sequence[int]) -> int:
        """How many of the tokens `proposals` may follow `ids`, one after another; a stop token is none."""
        self._follow(ids)
        return int(self._matcher.validate_tokens(list(proposals)))

    def _follow(self, ids: Sequence[int]) -> None:
        """Bring the matcher to the end of `ids`."""
        if self._start is None:
            self._start = len(ids)
        if len(ids) < self._start:
            raise ModelError(
                f"a grammar's processor began behind {self._start} tokens and is now given {len(ids)}: "
                "make one for each request"
            )
        made = list(ids[self._start :])
        same = len(self._read)
        if made[:same] != self._read:
            pairs = enumerate(zip(self._read, made, strict=False))
            same = next((n for n, (old, new) in pairs if old != new), len(made))
            self.problem = ""
            if self._matcher.is_error() or not self._matcher.rollback(len(self._read) - same):
                self._begin()
            del self._read[same:]
        for token in map(int, made[len(self._read) :]):
            if self._matcher.validate_tokens([token]) != 1:
                raise ModelError(f"token {token} was chosen, though the grammar does not allow it there")
            self._matcher.consume_token(token)
            self._read.append(token)

    def _allowed(self, width: int) -> np.ndarray:
        """bool [width]: which ids may follow."""
        vocabulary = self._grammar.vocabulary
        size = vocabulary.size
        allowed_V = np.zeros(max(width, size), dtype=bool)
        packed = self._matcher.compute_bitmask()
        if self._matcher.is_error() and "NoExtension" not in self._matcher.get_error():
            packed = self._once_more()
        if self._matcher.is_error():
            error = first_line(self._matcher.get_error())
            self.problem = f"the grammar is too hard to follow: {error}"
            if "NoExtension" in error:
                self.problem = _NO_TOKEN
            return allowed_V[:width]
        bits = np.frombuffer(packed, dtype=np.uint8)
        allowed_V[:size] = np.unpackbits(bits, count=size, bitorder="little")
        self._doubt(allowed_V)
        if self._matcher.is_accepting():
            allowed_V[vocabulary.stop_ids] = True
        if not allowed_V[:width].any():
            self.problem = _NO_TOKEN
        return allowed_V[:width]

    def _once_more(self) -> bytes:
        """The mask by a fresh matcher: others may have used up what the old one shares with them."""
        read = self._read
        self._grammar.renew(self._pristine)
        self._begin()
        self._matcher.consume_tokens(read)
        self._read = read
        return bytes(self._matcher.compute_bitmask())

    def _doubt(self, allowed_V: np.ndarray) -> None:
        """Take back what the parser refuses: where no token fits, the library's mask names an unknown one."""
        wordless = self._grammar.vocabulary.wordless
        few = np.count_nonzero(allowed_V) <= 16
        for token in np.flatnonzero(allowed_V) if few else wordless[allowed_V[wordless]]:
            if self._matcher.validate_tokens([int(token)]) != 1:
                allowed_V[token] = False


class Vocabulary:
    """A tokenizer as the library knows it, with the grammars compiled for it.

    One id more than there are tokens stands for the end; the tokenizer's own stop tokens take its place.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.size = tokenizer.vocab_size
        self.stop_ids = np.array(sorted(tokenizer.stop_ids), dtype=np.int64)
        self.begins_with_a_space = tokenizer.adds_a_space
        if not len(self.stop_ids):
            raise ConfigError(
                "this tokenizer has no token that ends a text, so a text could not end where a grammar does"
            )
        self._library = library()
        self.limits = self._library.LLParserLimits(verbose_errors=False, max_lexer_states=MOST_STATES)
        words = _Words(tokenizer)
        self.wordless = np.array(words.special_token_ids[:-1], dtype=np.int64)
        """Ids that write no text."""
        self._tokens = self._library.LLTokenizer(words, n_vocab=self.size + 1)
        self._kept: OrderedDict[tuple[str, str], Grammar] = OrderedDict()
        self._lock = threading.Lock()

    def compile(self, source: str, what: str) -> Grammar:
        """The grammar of the library's `source`; ConfigError if it has none, or cannot be begun."""
        with self._lock:
            if (source, what) in self._kept:
                self._kept.move_to_end((source, what))
                return self._kept[source, what]
        grammar = Grammar(self, source, what)
        self._check_begins(grammar)
        with self._lock:
            self._kept[source, what] = grammar
            while len(self._kept) > KEPT_GRAMMARS:
                self._kept.popitem(last=False)
        return grammar

    def matcher(self, source: str, what: str) -> Any:
        """A new matcher of the library's `source`; ConfigError if that is none."""
        matcher = self._library.LLMatcher(self._tokens, source, log_level=0, limits=self.limits)
        if matcher.is_error():
            raise ConfigError(f"the {what}: {_reason(matcher.get_error())}")
        return matcher

    def _check_begins(self, grammar: Grammar) -> None:
        processor = grammar.processor(0)
        if np.isneginf(processor([], np.zeros(self.size, dtype=np.float32))).all():
            raise ConfigError(f"the {grammar.described} cannot be begun: {processor.problem}")


class _Words:
    """What the library asks of a tokenizer. It holds the tokenizer weakly: the cache must not keep it."""

    is_tokenizer_wrapper = True
    bos_token_id = None

    def __init__(self, tokenizer: Tokenizer) -> None:
        size = tokenizer.vocab_size
        words = [tokenizer.token_bytes(token_id) for token_id in range(size)]
        silent = {token_id for token_id, word in enumerate(words) if not word}
        unknown = () if tokenizer.unknown_id is None else (tokenizer.unknown_id,)
        self.tokens = [*(word or f"<no token {i}>".encode() for i, word in enumerate(words)), b"<the end>"]
        self.special_token_ids = sorted({*tokenizer.control, *silent, *unknown, size})
        self.eos_token_id = size
        self._tokenizer = weakref.ref(tokenizer)

    def __call__(self, text: str | bytes) -> list[int]:
        tokenizer = self._tokenizer()
        assert tokenizer is not None, "a grammar is used without its tokenizer"
        return tokenizer.encode(text if isinstance(text, str) else text.decode("utf-8", errors="replace"))


_vocabularies: "weakref.WeakKeyDictionary[Tokenizer, Vocabulary]" = weakref.WeakKeyDictionary()
_vocabularies_lock = threading.Lock()


def vocabulary_of(tokenizer: Tokenizer) -> Vocabulary:
    """The tokenizer as the library knows it, read once; it lives as long as the tokenizer."""
    with _vocabularies_lock:
        if tokenizer not in _vocabularies:
            _vocabularies[tokenizer] = Vocabulary(tokenizer)
        return _vocabularies[tokenizer]


def library() -> Any:
    """The package `llguidance`; MissingExtraError that names the extra without it."""
    try:
        import llguidance
    except ImportError as error:
        raise MissingExtraError(
            "structured output needs the package llguidance: pip install 'shizuku[grammar]'"
        ) from error
    return llguidance


def _reason(message: str) -> str:
    """The library's message without the lines of the grammar that it quotes, which we have written."""
    text = re.sub(r"\n +\d+ \| [\s\S]*", "", message)
    return " ".join(text.removeprefix("at 2(8): failed to compile JSON schema: ").split())


def first_line(text: str) -> str:
    """The first line of a message."""
    return text.strip().partition("\n")[0]
