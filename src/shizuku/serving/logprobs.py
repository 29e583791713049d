"""Log-probabilities of tokens as OpenAI's two APIs write them."""

from collections.abc import Sequence
from typing import Any

from shizuku.inference.requests import Step
from shizuku.text.tokenizer import Tokenizer

# JSON has no infinity; OpenAI's API writes this number for what can't happen.
LEAST = -9999.0


def chat_entries(
    tokenizer: Tokenizer, steps: Sequence[Step], count: int, *, skip_control: bool = True
) -> list[dict[str, Any]]:
    """One entry for each token: its text, its bytes, its log-probability, and the `count` best ones.

    `bytes` is what the token adds to the text: null for a control token that is left out of it.
    """
    return [
        {
            **_entry(tokenizer, step.token_id, step.logprob, skip_control),
            "top_logprobs": [
                _entry(tokenizer, token, value, skip_control) for token, value in step.top[:count]
            ],
        }
        for step in steps
    ]


def _entry(tokenizer: Tokenizer, token: int, logprob: float | None, skip_control: bool) -> dict[str, Any]:
    unseen = skip_control and token in tokenizer.control and token != tokenizer.unknown_id
    data = tokenizer.token_bytes(token)
    return {
        "token": data.decode("utf-8", errors="replace"),
        "logprob": finite(logprob),
        "bytes": None if unseen else list(data),
        "id": token,
    }


def completion_columns(
    tokenizer: Tokenizer, steps: Sequence[Step], offsets: Sequence[int], count: int
) -> dict[str, Any]:
    """Four columns of equal length; the first token of an echoed prompt has no log-probability."""
    top: list[dict[str, float] | None] = []
    for step in steps:
        if step.logprob is None:
            top.append(None)
            continue
        best = [*step.top[:count], (step.token_id, step.logprob)]
        column: dict[str, float] = {}
        for token, value in best:
            column.setdefault(spelling(tokenizer, token), finite(value) or 0.0)
        top.append(column)
    return {
        "tokens": [spelling(tokenizer, step.token_id) for step in steps],
        "token_logprobs": [finite(step.logprob) for step in steps],
        "top_logprobs": top,
        "text_offset": list(offsets),
    }


def spelling(tokenizer: Tokenizer, token: int) -> str:
    """A token as text; one that is no whole UTF-8 as `bytes:\\xe3\\x81`, so that different ones differ."""
    data = tokenizer.token_bytes(token)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in data)


def finite(logprob: float | None) -> float | None:
    """A number that JSON can hold."""
    return None if logprob is None else max(float(logprob), LEAST)
