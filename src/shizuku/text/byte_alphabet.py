"""The byte alphabet of GPT-2: every byte as one printable character, so that BPE over characters is BPE over
bytes."""

from functools import cache


@cache
def byte_characters() -> tuple[str, ...]:
    """The 256 characters that stand for bytes 0 to 255, in that order (Radford et al. 2019).

    Printable Latin-1 bytes stand for themselves; the others take the characters from U+0100 on, in order.
    """
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(0x100, 0x200))
    return tuple(chr(byte if byte in printable else next(others)) for byte in range(256))


@cache
def character_bytes() -> dict[str, int]:
    """The byte behind each of the 256 characters."""
    return {character: byte for byte, character in enumerate(byte_characters())}


def spell(data: bytes) -> str:
    """`data` in the byte alphabet, as it stands in a vocabulary file."""
    characters = byte_characters()
    return "".join(characters[byte] for byte in data)


def unspell(token: str) -> bytes | None:
    """The bytes behind a token of a byte-level vocabulary; None if it holds a character outside the
    alphabet.
    """
    table = character_bytes()
    try:
        return bytes([table[character] for character in token])
    except KeyError:
        return None
