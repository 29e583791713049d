"""Structured output: logits of tokens that a JSON schema, a regular expression or a grammar does not allow
become -inf. Nothing here needs torch.

V vocabulary. The work is done by `llguidance`, which reads the bytes of tokens, so that a token may cross
the borders of the structure. Whatever cannot be kept is refused before the first token; whatever breaks off
is never called complete.
"""

import json
import re
import threading
import weakref
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from shizuku.errors import ConfigError, MissingExtraError, ModelError
from shizuku.inference.schema_words import check_schema
from shizuku.text.tokenizer import Tokenizer
from shizuku.text.tool_calls.calls import Format, literal, read_tools
from shizuku.text.tool_calls.formats import find_format
from shizuku.text.tool_calls.plain import PLAIN

BLANK = r"( |\n {0,24})"
"""What may stand between the parts of JSON; bounded, so that blanks cannot use up the limit of tokens."""
KEPT_GRAMMARS = 64
"""Compiled grammars kept for each tokenizer, the ones used last."""

_NO_TOKEN = "no token of this vocabulary continues the text as the grammar demands"


class Grammar:
    """A compiled grammar for one vocabulary; made by the functions below."""

    def __init__(self, vocabulary: "_Vocabulary", matcher: Any, described: str) -> None:
        self._vocabulary, self._matcher, self.described = vocabulary, matcher, described

    def processor(self, prompt_tokens: int | None = None) -> "GrammarProcessor":
        """A fresh processor for one request, whose prompt has `prompt_tokens` (None: what it first sees)."""
        return GrammarProcessor(self._vocabulary, self._matcher, prompt_tokens)

    def accepts(self, ids: Sequence[int]) -> bool:
        """Whether the tokens `ids`, without a stop token, are a whole text of this grammar."""
        matcher = self._matcher.deep_copy()
        return bool(matcher.try_consume_tokens(list(ids)) == len(ids) and matcher.is_accepting())


class GrammarProcessor:
    """Keeps one request to its grammar: `(ids, logits_V) -> logits_V`.

    `ids` are the prompt and what has been made so far. They may grow by any number of tokens between two
    calls or go back to an earlier point, as speculative decoding does.
    """

    pure = True
    """The same ids give the same answer, whatever was asked before: tokens may be guessed ahead."""

    def __init__(self, vocabulary: "_Vocabulary", pristine: Any, prompt_tokens: int | None) -> None:
        self._vocabulary, self._pristine = vocabulary, pristine
        self._matcher = pristine.deep_copy()
        self._start = prompt_tokens
        self._read: list[int] = []
        self.problem = ""
        """Why no token at all is allowed, where that is so: the request has to end, unfinished."""

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
                self._matcher, same = self._pristine.deep_copy(), 0
            del self._read[same:]
        for token in map(int, made[same:]):
            if self._matcher.validate_tokens([token]) != 1:
                raise ModelError(f"token {token} was chosen, though the grammar does not allow it there")
            self._matcher.consume_token(token)
            self._read.append(token)

    def _allowed(self, width: int) -> np.ndarray:
        """bool [width]: which ids may follow."""
        vocabulary = self._vocabulary
        size = vocabulary.size
        allowed_V = np.zeros(max(width, size), dtype=bool)
        bits = np.frombuffer(self._matcher.compute_bitmask(), dtype=np.uint8)
        if self._matcher.is_error():
            error = _first_line(self._matcher.get_error())
            self.problem = f"the grammar is too hard to follow: {error}"
            if "NoExtension" in error:
                self.problem = _NO_TOKEN
            return allowed_V[:width]
        allowed_V[:size] = np.unpackbits(bits, count=size, bitorder="little")
        self._doubt(allowed_V)
        if self._matcher.is_accepting():
            allowed_V[vocabulary.stop_ids] = True
        if not allowed_V[:width].any():
            self.problem = _NO_TOKEN
        return allowed_V[:width]

    def _doubt(self, allowed_V: np.ndarray) -> None:
        """Take back what the parser refuses: where no token fits, the library's mask names an unknown one."""
        wordless = self._vocabulary.wordless
        few = np.count_nonzero(allowed_V) <= 16
        for token in np.flatnonzero(allowed_V) if few else wordless[allowed_V[wordless]]:
            if self._matcher.validate_tokens([int(token)]) != 1:
                allowed_V[token] = False


def json_schema(schema: Mapping[str, Any] | str, tokenizer: Tokenizer) -> Grammar:
    """JSON that fulfils `schema` (JSON Schema 2020-12, as a mapping or its JSON text).

    Properties come in the schema's order. ConfigError names a keyword that cannot be kept, and says what is
    wrong with a broken schema, or one that nothing fulfils.
    """
    return lark(f"start: value\nvalue: {json_rule(schema)}", tokenizer, blank_first=True, what="schema")


def json_object(tokenizer: Tokenizer) -> Grammar:
    """Any JSON object."""
    return json_schema({"type": "object"}, tokenizer)


def json_rule(schema: Mapping[str, Any] | str) -> str:
    """`schema` as a rule's right side in a Lark grammar; raises ConfigError as `json_schema`."""
    if isinstance(schema, str):
        try:
            schema = json.loads(schema)
        except (ValueError, RecursionError) as error:
            raise ConfigError(f"the schema is not JSON: {error}") from error
    try:
        options = {"whitespace_pattern": BLANK, "coerce_one_of": False, "lenient": False}
        text = json.dumps(
            {**check_schema(schema), "x-guidance": options}, ensure_ascii=False, allow_nan=False
        )
    except ConfigError:
        raise
    except (TypeError, ValueError, RecursionError) as error:
        raise ConfigError(f"the schema cannot be written as JSON: {error}") from error
    return f"%json {text}"


def regex(pattern: str, tokenizer: Tokenizer) -> Grammar:
    """A text that `pattern` matches from its beginning to its end (Rust's syntax, Unicode).

    ConfigError for a broken pattern, and for look-around, word borders and back references.
    """
    if not isinstance(pattern, str):
        raise ConfigError(f"a regular expression is a string, got {type(pattern).__name__}")
    if pattern == "":
        raise ConfigError("the regular expression is empty, so it allows no text: leave it out")
    _check_characters(pattern, "regular expression")
    source = _library().LLMatcher.grammar_from_regex(pattern)
    return _vocabulary(tokenizer).compile(source, "regular expression")


def lark(text: str, tokenizer: Tokenizer, *, blank_first: bool = False, what: str = "grammar") -> Grammar:
    """A text of the grammar `text`: Lark with `%json {schema}` and `<[id]>` for control tokens.

    With `blank_first` a blank may stand before it where tokenizers begin texts with one. ConfigError, naming
    the line, for a broken grammar.
    """
    _check_characters(text, what)
    vocabulary = _vocabulary(tokenizer)
    if blank_first and vocabulary.begins_with_a_space:
        text = text.replace("start: ", "start: BLANK_FIRST? ", 1) + '\nBLANK_FIRST: " "\n'
    return vocabulary.compile(_library().LLMatcher.grammar_from_lark(text), what)


def gbnf(text: str, tokenizer: Tokenizer) -> Grammar:
    """A text of a grammar written for llama.cpp; ConfigError for a broken one."""
    _check_characters(text, "grammar")
    library = _library()
    try:
        source = library.grammar_from("gbnf", text)
    except ValueError as error:
        raise ConfigError(f"the grammar: {_first_line(str(error))}") from error
    return _vocabulary(tokenizer).compile(source, "grammar")


def tool_calls(
    tools: Sequence[Mapping[str, Any]],
    tokenizer: Tokenizer,
    *,
    format: Format | None = None,
    name: str | None = None,
    several: bool = True,
) -> Grammar:
    """Nothing but calls of `tools` (of the one called `name`), one or, if asked for, several in a row.

    They are written in `format`; None: in that of the chat template, else as plain JSON. ConfigError for a
    tool whose schema cannot be kept, and an unknown name.
    """
    known = read_tools(tools)
    chosen = [tool for tool in known if name in (None, tool.name)]
    if not chosen:
        raise ConfigError(f"tool_choice {name!r}: the tools are {[tool.name for tool in known]!r:.200}")
    for tool in chosen:
        check_schema(tool.parameters, f"parameters of the tool {tool.name}, #")
    format = format or find_format(tokenizer.chat_templates.get("tool_use", tokenizer.chat_template)) or PLAIN
    ids = {control: token_id for token_id, control in tokenizer.control.items()}

    def spell(marker: str) -> str:
        return f"<[{ids[marker]}]>" if marker in ids else literal(marker)

    text = format.frame(chosen, several and name is None, spell, json_rule)
    return lark(text, tokenizer, blank_first=True, what="tools' grammar")


def constraint(
    tokenizer: Tokenizer,
    *,
    schema: Mapping[str, Any] | str | None = None,
    regex: str | None = None,
    stop: Sequence[str] = (),
) -> Grammar | None:
    """The grammar of `generate(schema=…, regex=…)`, None if neither is given.

    ConfigError for both at once, and for stop strings beside them, which would cut the text in two.
    """
    if schema is None and regex is None:
        return None
    if schema is not None and regex is not None:
        raise ConfigError("schema and regex are both given: a text follows one of them")
    if stop:
        raise ConfigError(
            f"stop {list(stop)!r:.60} beside a schema or regex: the text would end before it is whole. "
            "Leave --stop out; the grammar ends the text."
        )
    if schema is not None:
        return json_schema(schema, tokenizer)
    return _regex(regex, tokenizer)


_regex: Any = regex


class _Vocabulary:
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
        self._library = _library()
        self._limits = self._library.LLParserLimits(verbose_errors=False)
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
        matcher = self._library.LLMatcher(self._tokens, source, log_level=0, limits=self._limits)
        if matcher.is_error():
            raise ConfigError(f"the {what}: {_reason(matcher.get_error())}")
        grammar = Grammar(self, matcher, what)
        self._check_begins(grammar)
        with self._lock:
            self._kept[source, what] = grammar
            while len(self._kept) > KEPT_GRAMMARS:
                self._kept.popitem(last=False)
        return grammar

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


_vocabularies: "weakref.WeakKeyDictionary[Tokenizer, _Vocabulary]" = weakref.WeakKeyDictionary()
_vocabularies_lock = threading.Lock()


def _vocabulary(tokenizer: Tokenizer) -> _Vocabulary:
    with _vocabularies_lock:
        if tokenizer not in _vocabularies:
            _vocabularies[tokenizer] = _Vocabulary(tokenizer)
        return _vocabularies[tokenizer]


def _library() -> Any:
    try:
        import llguidance
    except ImportError as error:
        raise MissingExtraError(
            "structured output needs the package llguidance: pip install 'shizuku[grammar]'"
        ) from error
    return llguidance


def _check_characters(text: str, what: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ConfigError(f"the {what} holds half of a surrogate pair, which is no character") from error


def _reason(message: str) -> str:
    """The library's message without the lines of the grammar that it quotes, which we have written."""
    text = re.sub(r"\n +\d+ \| [\s\S]*", "", message)
    return " ".join(text.removeprefix("at 2(8): failed to compile JSON schema: ").split())


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0]
