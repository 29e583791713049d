"""Seeded strings that tokenizers trip over."""

import random
from unicodedata import ucd_3_2_0

ALPHABETS = (
    "abcdefghijklmnopqrstuvwxyz ABC 0123456789",
    " \t\n\r\u00a0\u3000\u2003\u200b",
    "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~",
    "吾輩は猫である、名前はまだ無い。カタカナー々〆한국어",
    "😀👩‍👩‍👧‍👦🇯🇵🏽❤️",
    "e\u0301a\u0300\u0323n\u0303कि\u0e01\u0e33",
    "".join(map(chr, range(32))) + "\x7f\x85\ufeff\ufffd",
    "éßñøłжщאب½²Ⅷ",
)
WORDS = (
    *(
        "<|endoftext|>",
        "<|im_start|>",
        "<|im_end|>",
        "<|",
        "|>",
        "endoftext",
        "'s",
        "'LL",
        "n't",
        "  ",
        "\n\n",
    ),
    *("http://", "1234567", "東京都", " the", "\r\n", "𝒳", "ｱｲｳ", "\u2028"),
)


def strings(number: int, seed: int = 0) -> list[str]:
    """`number` strings of up to some 60 characters, from one alphabet, several, or anywhere in Unicode.

    Anywhere means what Unicode 3.2 had assigned: regex engines disagree about what came since.
    """
    source = random.Random(seed)
    return [_string(source) for _ in range(number)]


def _string(source: random.Random) -> str:
    alphabets = source.sample(ALPHABETS, source.randint(1, 4))
    parts = []
    for _ in range(source.randint(0, 12)):
        kind = source.random()
        if kind < 0.2:
            parts.append(source.choice(WORDS))
        elif kind < 0.3:
            character = chr(source.randrange(0x30000))
            parts.append(character if ucd_3_2_0.category(character) not in ("Cn", "Cs") else " ")
        else:
            alphabet = source.choice(alphabets)
            parts.append("".join(source.choice(alphabet) for _ in range(source.randint(1, 6))))
    return "".join(parts)
