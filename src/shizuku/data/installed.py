"""Real text that every machine with Python has: the documentation of its installation and of its packages.

Taken are docstrings (the triple-quoted strings of .py files), .rst, .md and .txt files, the long
descriptions of installed distributions, and the language reference that `help()` shows. Left out are tests,
vendored copies, licences, changelogs, tables and code: a paragraph stays only if it reads as prose.
"""

from __future__ import annotations

import ast
import os
import re
import site
import sys
import sysconfig
import time
import warnings
from collections.abc import Iterator
from inspect import cleandoc
from pathlib import Path

from shizuku.errors import DocumentError
from shizuku.text.documents import Document, document_id

MAX_BYTES = 12_000_000
MAX_SECONDS = 25.0
LARGEST_FILE = 2_000_000
"""Larger files are generated tables more often than text."""
MIN_DOCUMENT = 400
"""Bytes of prose that a document needs."""
MIN_PARAGRAPH = 40
"""Characters below which a paragraph stays only beside longer ones: headings, list items."""

LEFT_OUT = frozenset(
    [
        "test",
        "tests",
        "testing",
        "idle_test",
        "_vendor",
        "vendor",
        "vendored",
        "extern",
        "third_party",
        "_distutils_hack",
        "__pycache__",
        "site-packages",
        "dist-packages",
        "node_modules",
        "_bundled",
        "lib2to3",
        "lib-dynload",
        "turtledemo",
        "encodings",
        "locale",
        "licenses",
        "include",
    ]
)
DOCUMENTS = frozenset({"rst", "md", "txt"})
NOISE = re.compile(
    r"licen[cs]e|copying|notice|change|history|news|authors|thanks|credits|contributors|require|top_level"
    r"|sources|entry_points|cmakelists|whatsnew|release|vocab|words|data",
    re.IGNORECASE,
)
"""Names of text files that are seldom prose, or the same prose everywhere."""
LEGAL = (
    "permission is hereby",
    "redistribution and use in",
    "without warrant",
    "merchantability",
    "copyright",
    "all rights reserved",
    "licensed under",
    "license agreement",
    "license terms",
    "gnu general public",
)
MARKUP = re.compile(
    r"<[^<>\n]{1,300}>|!\[[^\]\n]*\](\([^)\n]*\))?|\[!\[.*?\]\(.*?\)\]\(.*?\)|^\.\. .*$", re.MULTILINE
)
"""HTML tags, pictures and badges, and the directives of reStructuredText."""
LETTERS = dict.fromkeys(map(ord, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"))
CODE = dict.fromkeys(map(ord, '=(){}[]<>|\\/_+*#$%&@~^;`"0123456789'))
COMMON_WORDS = re.compile(r"\b(?:the|an?|of|to|and|is|are|in|for|that|this|be|with|if|or|by|as|it|not|on)\b")


def python_documents(*, max_bytes: int = MAX_BYTES, max_seconds: float = MAX_SECONDS) -> Iterator[Document]:
    """Prose of this Python installation and its packages, one document a file, `source` naming the package.

    Packages take turns, the largest files of each first, so that a stop at any time has variety; the same
    installation gives the same order. Stops at `max_bytes` of UTF-8 or after `max_seconds`, whichever comes
    first. The modules of the standard library count as a package each (`python/asyncio`). Raises
    DocumentError if nothing is found.
    """
    began = time.perf_counter()
    size = 0
    seen: set[int] = set()
    for source, ordinal, paragraphs in _read_in_turns():
        fresh = [paragraph for paragraph in paragraphs if hash(paragraph) not in seen]
        seen.update(map(hash, fresh))
        text = "\n\n".join(fresh)
        if len(text) >= MIN_DOCUMENT and _reads_as_english(text):
            yield Document(document_id(f"installed/{source}", ordinal), text, source)
            size += len(text.encode("utf-8", "replace"))
        if size >= max_bytes or (size and time.perf_counter() - began >= max_seconds):
            break
    if size == 0:
        raise DocumentError(
            f"no documentation was found in the Python installation at {sys.prefix}; "
            "name files of your own (--text PATH)"
        )


def _read_in_turns() -> Iterator[tuple[str, int, list[str]]]:
    """Source, ordinal and paragraphs of one file after the other, each package in turn."""
    yield from (("python/help", number, prose(text)) for number, text in enumerate(_help_topics()))
    waiting = [(source, iter(files)) for source, files in sorted(find_packages().items())]
    ordinal = 0
    while waiting:
        ordinal += 1
        still = []
        for source, files in waiting:
            path = next(files, None)
            if path is not None:
                still.append((source, files))
                yield source, ordinal, read_prose(path)
        waiting = still


def find_packages() -> dict[str, list[Path]]:
    """The files that may hold prose, the largest first, by package."""
    packages: dict[str, list[tuple[int, str]]] = {}
    for prefix, folder in _folders():
        for top, size, path in _walk(folder):
            name = top.split("-")[0].removesuffix(".py")
            packages.setdefault(prefix + name.lower(), []).append((-size, path))
    return {source: [Path(path) for _, path in sorted(files)] for source, files in packages.items()}


def read_prose(path: Path) -> list[str]:
    """The paragraphs of prose in one file; none if it can't be read as UTF-8."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return []  # what cannot be read as text is no loss: the installation has plenty
    if path.suffix == ".py":
        return [paragraph for literal in _triple_quoted(text) for paragraph in prose(literal)]
    if path.name == "METADATA":
        text = text.partition("\n\n")[2]
    return prose(text)


def prose(text: str) -> list[str]:
    """The paragraphs of a text that read as prose; none if all of them are as short as labels."""
    text = MARKUP.sub("", text).replace("\r\n", "\n").expandtabs(4)
    kept = [paragraph.strip("\n") for paragraph in re.split(r"\n(?:[ \t]*\n)+", text)]
    kept = [paragraph.rstrip() for paragraph in kept if is_prose(paragraph)]
    return kept if any(len(paragraph) >= MIN_PARAGRAPH for paragraph in kept) else []


def is_prose(paragraph: str) -> bool:
    """Whether a paragraph is mostly words: no code, table, example session or legal text."""
    dense = "".join(paragraph.split())
    if not dense or ">>>" in dense:
        return False
    letters = len(dense) - len(dense.translate(LETTERS))
    signs = len(dense) - len(dense.translate(CODE))
    words = paragraph.count(" ") + paragraph.count("\n") + 1
    if letters < 0.75 * len(dense) or signs > 0.1 * len(dense) or len(dense) > 20 * words:
        return False
    lowered = paragraph.lower()
    return not any(phrase in lowered for phrase in LEGAL)


def _reads_as_english(text: str) -> bool:
    return 12 * len(COMMON_WORDS.findall(text)) >= text.count(" ") + text.count("\n")


def _triple_quoted(code: str) -> Iterator[str]:
    """The triple-quoted strings of Python code, as text.

    Found by their quotes: thirty times as fast as a syntax tree, and strings that are handed to functions
    (`add_docstr`, `add_newdoc`) are found too. Where quotes in comments mislead it, `is_prose` drops the
    code.
    """
    for quotes in ('"""', "'''"):
        end = -3
        while (start := code.find(quotes, end + 3)) >= 0:
            before = code[code.rfind("\n", 0, start) + 1 : start]
            end = start if any(sign in before for sign in "#\"'") else _closing(code, quotes, start + 3)
            if end < 0:
                break
            prefix = before[-1:].lower() if before[-1:].isalpha() else ""
            if end - start > MIN_PARAGRAPH and prefix in ("", "r", "u"):
                yield from _literal(code[start + 3 : end], quotes, raw=prefix == "r")


def _closing(code: str, quotes: str, at: int) -> int:
    end = code.find(quotes, at)
    while end > 0 and code[end - 1] == "\\":
        end = code.find(quotes, end + 1)
    return end


def _literal(body: str, quotes: str, *, raw: bool) -> Iterator[str]:
    if "\\" in body and not raw:
        try:
            with warnings.catch_warnings(action="ignore"):
                body = ast.literal_eval(quotes + body + quotes)
        except (SyntaxError, ValueError):
            return  # the end of one string was taken for the beginning of another
    yield cleandoc(body)


def _walk(folder: str | Path, top: str = "") -> Iterator[tuple[str, int, str]]:
    """Package (the folder or file at the top), size and path of every file that may hold prose."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:
        return  # a folder of the installation that this user may not read
    for entry in entries:
        name, ending = entry.name, entry.name.rpartition(".")[2]
        if entry.is_dir(follow_symlinks=False):
            if name not in LEFT_OUT and not name.startswith("."):
                yield from _walk(entry.path, top or name)
        elif ending == "py" or name == "METADATA" or (ending in DOCUMENTS and not NOISE.search(name)):
            size = entry.stat().st_size if entry.is_file() else 0  # a link may lead nowhere
            if MIN_DOCUMENT <= size <= LARGEST_FILE:
                yield top or name, size, entry.path


def _folders() -> list[tuple[str, Path]]:
    """The standard library (its modules are named python/…), and where packages are installed.

    Packages both of this interpreter and of the one that its virtual environment is based on.
    """
    base = {"base": sys.base_prefix, "platbase": sys.base_prefix}
    sites = [sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), *site.getsitepackages()]
    sites += [sysconfig.get_path("purelib", vars=base), sysconfig.get_path("platlib", vars=base)]
    folders = [("python/", sysconfig.get_path("stdlib")), *(("", path) for path in dict.fromkeys(sites))]
    return [(prefix, Path(path)) for prefix, path in folders if Path(path).is_dir()]


def _help_topics() -> list[str]:
    """The language reference that `help()` shows; some distributions leave it out."""
    try:
        from pydoc_data.topics import topics
    except ImportError:
        return []
    return [topics[name] for name in sorted(topics)]
