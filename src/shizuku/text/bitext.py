"""Two texts that say the same, line by line, as the field's parallel corpora are."""

import gzip
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from shizuku.errors import DocumentError
from shizuku.text.problems import Problems

_CJK = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")


@dataclass(frozen=True, slots=True)
class Bitext:
    """Sentences in two languages, as words; number n of the one says what number n of the other says."""

    source: list[list[str]]
    """The words of each sentence in the language that is translated from."""
    target: list[list[str]]
    """Those in the other."""
    numbers: list[int] = field(default_factory=list)
    """The line of the files that each stands in, from 0 on, where they were read from such."""
    lines: int = 0
    """How many lines those have."""

    def __len__(self) -> int:
        return len(self.source)

    def turned(self) -> "Bitext":
        """The other way round."""
        return Bitext(self.target, self.source, self.numbers, self.lines)


def split_lines(text: str) -> list[str]:
    """The lines of a text, without a byte order mark. Only line feeds end one: corpora are aligned by them,
    whatever else Unicode calls an end.
    """
    return text.removeprefix("\ufeff").replace("\r\n", "\n").removesuffix("\n").split("\n")


def read_lines(path: str | Path, flag: str) -> list[str]:
    """The lines of a text file (`.gz` too); DocumentError for one that is missing, empty or no text."""
    path = Path(path)
    if not path.exists() or path.is_dir():
        raise DocumentError(f"{flag} {path}: there is no such file" + " but a folder" * path.is_dir())
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        lines = split_lines(data.decode("utf-8"))
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise DocumentError(f"{flag} {path}: it is no text in UTF-8 ({error})") from error
    if not any(line.strip() for line in lines):
        raise DocumentError(f"{flag} {path}: it is empty")
    return lines


def read_bitext(
    source: str | Path,
    target: str | Path,
    *,
    lower: bool = False,
    longest: int | None = None,
    lines: int | None = None,
    problems: Problems | None = None,
) -> Bitext:
    """Read two files with the same number of lines, split at white space; more as of `read_pairs`."""
    numbered, total = read_numbered(source, target, longest=longest, lines=lines, problems=problems)
    found = Bitext([], [], lines=total)
    for number, ours, theirs in numbered:
        found.numbers.append(number)
        found.source.append((ours.lower() if lower else ours).split())
        found.target.append((theirs.lower() if lower else theirs).split())
    return found


def read_pairs(
    source: str | Path,
    target: str | Path,
    *,
    flags: tuple[str, str] = ("--source", "--target"),
    longest: int | None = None,
    problems: Problems | None = None,
) -> list[tuple[str, str]]:
    """Read two files with the same number of lines: each line with its translation, spaces around it gone;
    more as of `read_numbered`.
    """
    found, _ = read_numbered(source, target, flags=flags, longest=longest, problems=problems)
    return [(ours, theirs) for _, ours, theirs in found]


def read_numbered(
    source: str | Path,
    target: str | Path,
    *,
    flags: tuple[str, str] = ("--source", "--target"),
    longest: int | None = None,
    lines: int | None = None,
    problems: Problems | None = None,
) -> tuple[list[tuple[int, str, str]], int]:
    """The pairs of two files with the number of their line, from 0 on, and how many lines there are; of the
    first `lines` only, if given.

    Pairs with an empty side, or with one of more than `longest` words, are left out and counted in
    `problems`. DocumentError for files that can't be read, for unequal numbers of lines, and where nothing is
    left.
    """
    problems = problems if problems is not None else Problems()
    ours, theirs = read_lines(source, flags[0]), read_lines(target, flags[1])
    if len(ours) != len(theirs):
        raise DocumentError(
            f"{source} has {len(ours):,} lines and {target} {len(theirs):,}: line n of the one must say what "
            f"line n of the other says ({', '.join(flags)})"
        )
    found = []
    for number, (one, other) in enumerate(zip(ours[:lines], theirs[:lines], strict=True), start=1):
        if not (one.strip() and other.strip()):
            problems.add("one side is empty", f"line {number}")
        elif longest is not None and max(len(one.split()), len(other.split())) > longest:
            problems.add(f"one side has more than {longest} words", f"line {number}")
        else:
            found.append((number - 1, one.strip(), other.strip()))
    if not found:
        most = "" if longest is None else f", at most {longest} of them"
        raise DocumentError(
            f"no line of {source} and {target} has words on both sides{most} ({', '.join(flags)})"
        )
    return found, len(ours[:lines])


def unsegmented(sentences: Sequence[Sequence[str]], sample: int = 200) -> bool:
    """Whether these look like Japanese or Chinese without spaces, so that a word is a whole sentence."""
    some = sentences[:sample]
    words = sum(map(len, some))
    letters = sum(len(word) for sentence in some for word in sentence)
    cjk = sum(len(_CJK.findall(word)) for sentence in some for word in sentence)
    return bool(words) and cjk > letters / 2 and letters / words > 6
