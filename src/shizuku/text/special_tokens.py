"""Which tokens of a vocabulary play a part: beginning, end, padding, and those that end a turn."""

from dataclasses import dataclass

TURN_ENDS = (
    "<|im_end|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<end_of_turn>",
    "<turn|>",
    "<|end|>",
    "<|return|>",
    "<|call|>",
    "<|end_of_turn|>",
    "<|endofturn|>",
    "<|END_OF_TURN_TOKEN|>",
    "<|endoftext|>",
    "<|end_of_text|>",
    "<｜end▁of▁sentence｜>",
    "<EOT>",
    "</s>",
    "<eos>",
)
"""Names by which the chat formats in use end a turn or a text; each counts only where it is a control
token."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SpecialTokens:
    """The names of the tokens that play a part; None where the vocabulary has none."""

    bos: str | None = None
    """Stands at the beginning of a text."""
    eos: str | None = None
    """Ends a text."""
    pad: str | None = None
    """Fills up a batch; may equal `eos`, which is harmless because masks never come from ids."""
    unk: str | None = None
    """Stands for what the vocabulary cannot write; byte-level vocabularies need none."""
    cls: str | None = None
    """Begins a text in BERT's vocabularies, where its vector stands for the whole."""
    sep: str | None = None
    """Ends each text in BERT's vocabularies."""
    mask: str | None = None
    """Stands for a hidden token."""
    stop: tuple[str, ...] = ()
    """Further tokens at which generation ends, beside `eos` and the known turn ends."""
    control: tuple[str, ...] = ()
    """Further control tokens, beside those above and those that the vocabulary marks as special."""

    def named(self) -> dict[str, str]:
        """The tokens that are there, under the names that Hugging Face files use (`bos_token` …)."""
        roles = ("bos", "eos", "pad", "unk", "cls", "sep", "mask")
        return {f"{role}_token": token for role in roles if (token := getattr(self, role)) is not None}
