"""ARPA files: n-gram models as text, the form that KenLM, SRILM and others read and write.

Log-probabilities stand there to the base 10; what has none, as the start of a document, has -99. Words cannot
hold white space there, so a token's text is written with escapes that are undone on reading: a space is `▁`
and a backslash begins a code. `<s>`, `</s>` and `<unk>` are the start, the end, and what is unknown.
"""

import gzip
import math
import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from io import TextIOWrapper
from itertools import pairwise
from pathlib import Path
from typing import IO, Any

import numpy as np

from shizuku.errors import CheckpointError
from shizuku.models.ngram import Level, NGramModel
from shizuku.progress import bar
from shizuku.text.tokenizer import Tokenizer

START, END, UNKNOWN = "<s>", "</s>", "<unk>"
NEVER = -99.0
"""What ARPA files have for log10 of 0."""
_ESCAPED = re.compile(r"[\s\\▁]|^<(?=s>|/s>|unk>)")
_ESCAPE = re.compile(r"\\u\{([0-9a-f]+)\}")


def escaped(text: str) -> str:
    """A token's text as an ARPA word: without white space, and never one of the three control words."""
    if not text:
        return "\\u{}"
    return _ESCAPED.sub(lambda found: "▁" if found[0] == " " else f"\\u{{{ord(found[0]):x}}}", text)


def unescaped(word: str) -> str:
    """The token's text that `escaped` wrote as this word."""
    if word == "\\u{}":
        return ""
    return _ESCAPE.sub(lambda found: chr(int(found[1], 16)), word.replace("▁", " "))


def arpa_words(tokenizer: Tokenizer, vocab_size: int, *, opening: int | None) -> list[str]:
    """A word for each token: the tokenizer's own name of it, escaped; `<s>` for what opens documents, `</s>`
    for what ends them.
    """
    names = {number: name for name, number in tokenizer.backend.get_vocab(with_added_tokens=True).items()}
    words = [escaped(names.get(number, f"<{number}>")) for number in range(vocab_size)]
    if tokenizer.eos_id is not None:
        words[tokenizer.eos_id] = END
    if opening is not None:
        words[opening] = START
    return words


def write_arpa(path: str | Path, model: NGramModel, words: Sequence[str]) -> Path:
    """Write a model as an ARPA file (`.gz` packs it), with `words` for its tokens, and return the path.

    CheckpointError for words that are not V different ones without white space.
    """
    path = Path(path)
    if len(words) != model.vocab_size:
        raise CheckpointError(f"{len(words):,} words for a model of {model.vocab_size:,} tokens")
    if len(set(words)) != len(words) or any(not word or re.search(r"\s", word) for word in words):
        raise CheckpointError("the words of an ARPA file are all different, none is empty or has white space")
    building = path.with_name(path.name + ".writing")
    try:
        with (
            _text(building, "w", packed=path.suffix == ".gz") as file,
            bar("writing", sum(map(len, model.levels)), "n-grams") as line,
        ):
            file.write("\\data\\\n")
            for length, level in enumerate(model.levels, start=1):
                file.write(f"ngram {length}={len(level)}\n")
            spelled, done = list(words), 0
            for length, level in enumerate(model.levels, start=1):
                file.write(f"\n\\{length}-grams:\n")
                if length > 1:
                    prefixes, tokens = np.divmod(level.keys_N, np.uint64(model.vocab_size))
                    spelled = [f"{spelled[p]} {words[t]}" for p, t in zip(prefixes, tokens, strict=True)]
                file.writelines(_entries(level, spelled))
                done += len(level)
                line.update(completed=done)
            file.write("\n\\end\\\n")
        building.replace(path)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        building.unlink(missing_ok=True)
    return path


def read_arpa(path: str | Path) -> tuple[NGramModel, list[str]]:
    """The model of an ARPA file and the words of its tokens, in the order of the file.

    CheckpointError says in which line a file is not as it should be.
    """
    path = Path(path)
    try:
        with _text(path, "r", packed=path.suffix == ".gz") as file:
            return _Reader(file, path).read()
    except (OSError, UnicodeDecodeError, EOFError) as error:
        raise CheckpointError(f"{path} cannot be read as an ARPA file: {error}") from error


def _entries(level: Level, spelled: Sequence[str]) -> Iterator[str]:
    logprobs = np.maximum(level.logprobs_N / math.log(10), NEVER)
    backoffs = None if level.backoffs_N is None else np.maximum(level.backoffs_N / math.log(10), NEVER)
    for at, (gram, logprob) in enumerate(zip(spelled, logprobs, strict=True)):
        end = "\n" if backoffs is None else f"\t{backoffs[at]:.9g}\n"
        yield f"{logprob:.9g}\t{gram}{end}"


@contextmanager
def _text(path: Path, mode: str, *, packed: bool) -> Iterator[IO[str]]:
    with ExitStack() as stack:
        if packed:
            raw: Any = stack.enter_context(gzip.open(path, f"{mode}b"))
            yield stack.enter_context(TextIOWrapper(raw, encoding="utf-8", newline="\n"))
        else:
            yield stack.enter_context(path.open(mode, encoding="utf-8", newline="\n"))


class _Reader:
    """Reads one file, keeping the number of the line for what is wrong with it."""

    def __init__(self, file: IO[str], path: Path) -> None:
        self._lines, self._path, self._number = iter(file), path, 0
        self._most = path.stat().st_size * (1000 if path.suffix == ".gz" else 1)
        self._ids: dict[str, int] = {}

    def read(self) -> tuple[NGramModel, list[str]]:
        """The model and its words."""
        line = self._next()
        while line != "\\data\\":
            line = self._next()
        sizes: list[int] = []
        while (line := self._next()) != "\\1-grams:":
            found = re.fullmatch(r"ngram (\d+)\s*=\s*(\d+)", line)
            if found is None or int(found[1]) != len(sizes) + 1:
                self._refuse(f"expected `ngram {len(sizes) + 1}=COUNT`")
            else:
                sizes.append(int(found[2]))
        if not sizes or not sizes[0]:
            self._refuse("there are no single words")
        levels: list[Level] = []
        for length, size in enumerate(sizes, start=1):
            if length > 1 and self._next() != f"\\{length}-grams:":
                self._refuse(f"expected \\{length}-grams:")
            levels.append(self._level(length, size, levels, last=length == len(sizes)))
        if self._next() != "\\end\\":
            self._refuse("expected \\end\\")
        model = NGramModel(levels, unpredicted=self._ids.get(START))
        return model, list(self._ids)

    def _level(self, length: int, size: int, shorter: list[Level], *, last: bool) -> Level:
        if size > self._most:
            self._refuse(f"{size:,} {length}-grams are promised, more than the file has letters")
        grams = np.empty((size, length), dtype=np.int64)
        numbers = np.zeros((size, 2))
        for at in range(size):
            fields = self._next().split()
            if len(fields) not in (length + 1, length + 2):
                self._refuse(f"expected a number, {length} words and perhaps a number")
            try:
                numbers[at] = float(fields[0]), float(fields[length + 1]) if len(fields) > length + 1 else 0.0
            except ValueError:
                self._refuse("expected a number at the beginning and at the end")
            words = fields[1 : length + 1]
            if length == 1:
                if words[0] in self._ids:
                    self._refuse(f"the word {words[0]} is there twice")
                self._ids[words[0]] = at
            unknown = next((word for word in words if word not in self._ids), None)
            if unknown is not None:
                self._refuse(f"the word {unknown} is not among the single words")
            grams[at] = [self._ids[word] for word in words]
        if not np.isfinite(numbers).all() or (numbers[:, 0] > 1e-6).any():
            self._refuse(f"a log-probability of the {length}-grams is above 0 or no number")
        return self._sorted(grams, numbers * math.log(10), shorter, last=last)

    def _sorted(self, grams: np.ndarray, numbers: np.ndarray, shorter: list[Level], *, last: bool) -> Level:
        vocab_size = len(self._ids)
        at = grams[:, 0]
        for place, level in enumerate(shorter[1:], start=1):
            at = level.find(at, grams[:, place], vocab_size)
            if (at < 0).any():
                self._refuse(f"the beginning of one of the {grams.shape[1]}-grams is not in the file")
        keys = at.astype(np.uint64)
        if shorter:
            keys = keys * np.uint64(vocab_size) + grams[:, -1].astype(np.uint64)
        order = np.argsort(keys)
        if any(one == other for one, other in pairwise(keys[order].tolist())):
            self._refuse(f"one of the {grams.shape[1]}-grams is there twice")
        logprobs = numbers[order, 0]
        logprobs = np.where(logprobs <= NEVER * math.log(10), -math.inf, logprobs)
        return Level(keys[order], logprobs, None if last else numbers[order, 1])

    def _next(self) -> str:
        """The next line that is not empty."""
        for line in self._lines:
            self._number += 1
            if line.strip():
                return line.strip()
        self._refuse("the file ends too early")
        raise AssertionError("refused")

    def _refuse(self, why: str) -> None:
        raise CheckpointError(f"{self._path}, line {self._number}: {why}")
