"""What holds a text to a form, where one is asked for; the grammar's own parts are loaded only then."""

from collections.abc import Mapping, Sequence
from typing import Any

from shizuku.inference.requests import Processor
from shizuku.text.tokenizer import Tokenizer


def following(
    tokenizer: Tokenizer, schema: Mapping[str, Any] | str | None, regex: str | None, stop: Sequence[str]
) -> list[Processor]:
    """The processors of a JSON schema or an expression; none where neither is given."""
    if schema is None and regex is None:
        return []
    from shizuku.inference.grammar import constraint

    grammar = constraint(tokenizer, schema=schema, regex=regex, stop=stop)
    return [] if grammar is None else [grammar.processor()]
