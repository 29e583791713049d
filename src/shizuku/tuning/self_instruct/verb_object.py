"""The verb of an instruction and its object, for the picture of how diverse a set is.

A rule for what instructions look like, no parser (the models of parsers are on no package index that we may
name as a dependency): in English the verb is the first word, behind politeness, of a sentence that is no
question and no statement, its object the last word of the noun phrase behind it. In Japanese the object
stands before を, and behind it the verb, of which the stem in Chinese characters is taken,
as endings vary. Whatever does not look like that has no pair, and is counted so.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_POLITE = _words("please kindly now then next first also just can could would will you")
_NO_VERB = _words(
    """a an the this that these those there here it i we you he she they my your our his her its their what
    who whom whose which when where why how is are was were am do does did has have had can could will
    would shall should may might must if in on at for from to of by with about as and or but not no yes some
    any each every all both many most more several one two three four five six seven eight nine ten after
    before during while because since although imagine suppose assume given based using"""
)
_ENDS = _words(
    """of for to from in on at by with about as into onto over under between among that which who whose where
    when while if because so and or but than then using such like including based is are was were be can could
    should would will may might must do does did has have had without within through during after before per
    via against so"""
)
_SKIPPED = _words(
    """me us him them a an the my your our his her its their this that these those some any each every
    all both"""
)
_SENTENCE = re.compile(r"(?<=[.!?])\s+")
_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*|[^\w\s]|\d\S*")
_PURE = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")
_OBJECT = re.compile(r"([\u4e00-\u9fff々ー\u30a1-\u30fa]+)を")
_JAPANESE_STEM = re.compile(r"[\u4e00-\u9fff々]+")


def verb_object(instruction: str) -> tuple[str, str] | None:
    """The pair, in lower case, or None where none was found."""
    text = unicodedata.normalize("NFKC", instruction)
    if re.search("[\u3041-\u3096]", text):
        return _japanese(text)
    for sentence in _SENTENCE.split(text.strip()):
        pair = _english(sentence)
        if pair is not None:
            return pair
    return None


def counted(instructions: Iterable[str]) -> tuple[Counter[tuple[str, str]], int]:
    """How often each pair stands in `instructions`, and in how many there is none."""
    pairs = [verb_object(text) for text in instructions]
    found = Counter(pair for pair in pairs if pair is not None)
    return found, len(pairs) - found.total()


def _english(sentence: str) -> tuple[str, str] | None:
    if sentence.rstrip().endswith("?"):
        return None
    # "Given an email, write a reply": what is asked stands behind the comma.
    for part in re.split(r",\s+", sentence):
        words = [word.casefold() for word in _WORD.findall(part)]
        while words and words[0] in _POLITE:
            del words[0]
        if words and _PURE.fullmatch(words[0]) and words[0] not in _NO_VERB:
            found = _head(words[1:])
            return None if found is None else (words[0], found)
    return None


def _head(words: list[str]) -> str | None:
    """The last word of the noun phrase that `words` begin with."""
    phrase: list[str] = []
    for word in words:
        if not phrase and (word in _SKIPPED or not _PURE.fullmatch(word)):
            continue
        if word in _ENDS or not _PURE.fullmatch(word):
            break
        phrase.append(word)
    return phrase[-1] if phrase else None


def _japanese(text: str) -> tuple[str, str] | None:
    for found in _OBJECT.finditer(text):
        stem = _JAPANESE_STEM.match(text, found.end())
        if stem is not None:
            return stem.group(), found.group(1)
    return None
