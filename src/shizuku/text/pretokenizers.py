"""How text is cut into pieces before BPE: the patterns of known vocabularies, under the names that GGUF gives
them.

A pattern is part of the vocabulary: the same merges over other pieces give other ids. Each entry lists the
expressions applied one after another; every match, and every stretch between matches, becomes a piece that
merges cannot cross.
"""

from tokenizers import Regex, decoders, pre_tokenizers

_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_CONTRACTION = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_WORDS_AND_SYMBOLS = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_LLAMA3 = _CONTRACTION + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|" + _WORDS_AND_SYMBOLS
_QWEN2 = _CONTRACTION + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|" + _WORDS_AND_SYMBOLS

OWN = "qwen2"
"""The pattern of the tokenizers trained here, one that llama.cpp also knows, so that an exported model keeps
its ids.

English words carry the space before them, a run of Japanese is one piece (merges decide where words lie),
every digit is a piece of its own (numbers have one spelling, which arithmetic needs), line ends close a
piece.
"""

PATTERNS: dict[str, tuple[str, ...]] = {
    "gpt-2": (_GPT2,),
    "smollm": (r"\p{N}", _GPT2),
    "llama-bpe": (_LLAMA3,),
    "qwen2": (_QWEN2,),
}

LONGEST_PIECES = r"[\p{Han}々〆]{1,4}|\p{Hiragana}{1,8}|[\p{Katakana}ー]{1,16}|[^\p{Han}\p{Hiragana}\p{Katakana}々〆ー]{1,32}"
"""Applied after `OWN` in training only. Text without spaces would make almost every piece unique, and the
trainer keeps every distinct piece in memory; runs cut at changes of script, and at these lengths, repeat, so
memory stops growing."""


def byte_level(patterns: tuple[str, ...]) -> pre_tokenizers.PreTokenizer:
    """A pre-tokenizer that cuts by `patterns` in order, then spells each piece in the byte alphabet."""
    splits = [pre_tokenizers.Split(Regex(pattern), "isolated") for pattern in patterns]
    spelling = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    return pre_tokenizers.Sequence([*splits, spelling])


def byte_level_decoder() -> decoders.Decoder:
    """The decoder that belongs to `byte_level`."""
    return decoders.ByteLevel()
