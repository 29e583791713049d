"""How alike two texts are: ROUGE-L (Lin 2004), for any script, against tens of thousands of texts at once.

Every token becomes one character of a private alphabet, so that a text is a short string and the longest
common subsequence is found by `rapidfuzz` bit-parallel, in C++. Its normalised indel similarity of two such
strings, `2 LCS / (m + n)`, is the F1 of ROUGE-L.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from shizuku.errors import ConfigError, MissingExtraError

UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"  # Thai and Lao, Burmese, Khmer
    "\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
"""Scripts that write no blanks between words: there every letter is a token."""
_TOKEN = re.compile(f"[{UNSPACED}]|(?:(?![{UNSPACED}_])\\w)+")
_FIRST, _SURROGATES, _END = 1, range(0xD800, 0xE000), 0x110000


def tokens(text: str) -> list[str]:
    """The words of a text, in lower case; single letters where a script writes no blanks.

    Of ASCII text they are those of the package `rouge-score` without stemming, which knows no other letters.
    """
    return _TOKEN.findall(unicodedata.normalize("NFKC", text).casefold())


def word_count(text: str) -> int:
    """The number of words; two letters count as one where a script writes no blanks."""
    found = tokens(text)
    letters = sum(re.match(f"[{UNSPACED}]", token) is not None for token in found)
    return len(found) - letters + (letters + 1) // 2


@dataclass(frozen=True, slots=True)
class Nearest:
    """The text of a pool that is most like another one."""

    index: int
    """Its place in the pool; -1 where the pool is empty."""
    score: float
    """ROUGE-L F1, 0 to 1."""


class Pool:
    """Texts that new ones are compared with; one comparison is some milliseconds for 50,000 texts."""

    def __init__(self, texts: Iterable[str] = ()) -> None:
        """Begin with `texts`; MissingExtraError without `rapidfuzz`."""
        try:
            from rapidfuzz import process
            from rapidfuzz.distance import Indel
        except ImportError as error:
            raise MissingExtraError("ROUGE-L needs rapidfuzz: pip install 'shizuku[instruct]'") from error
        self._extract, self._scorer = process.extractOne, Indel.normalized_similarity
        self._letters: dict[str, str] = {}
        self._coded: list[str] = []
        for text in texts:
            self.add(text)

    def __len__(self) -> int:
        return len(self._coded)

    def add(self, text: str) -> None:
        """Compare with this text too from now on."""
        self._coded.append(self._code(text))

    def nearest(self, text: str) -> Nearest:
        """The text that is most like this one; a text without any token is like none."""
        coded = self._code(text)
        if not coded or not self._coded:
            return Nearest(-1, 0.0)
        # Two empty strings would be equal; the query has a token, so an empty text of the pool scores 0.
        _, score, index = self._extract(coded, self._coded, scorer=self._scorer)
        return Nearest(int(index), float(score))

    def _code(self, text: str) -> str:
        return "".join(self._letter(token) for token in tokens(text))

    def _letter(self, token: str) -> str:
        letter = self._letters.get(token)
        if letter is None:
            code = _FIRST + len(self._letters)
            code += len(_SURROGATES) if code >= _SURROGATES.start else 0
            if code >= _END:
                raise ConfigError(f"more than {len(self._letters):,} different words: compare fewer texts")
            letter = self._letters[token] = chr(code)
        return letter


def rouge_l(first: str, second: str) -> float:
    """ROUGE-L F1 of two texts, 0 to 1."""
    return Pool([first]).nearest(second).score


def most_alike(texts: Sequence[str]) -> float:
    """The largest ROUGE-L F1 of any two of `texts`; 0 for fewer than two."""
    pool, largest = Pool(), 0.0
    for text in texts:
        largest = max(largest, pool.nearest(text).score)
        pool.add(text)
    return largest
