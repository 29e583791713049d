"""Going on in the same order: whether what a source was is what it is now."""

from collections.abc import Collection, Mapping
from typing import Any

from shizuku.config import differences
from shizuku.errors import ConfigError

CONTENTS = {
    "digest": "the set of examples",
    "shards": "the text, or how it is cut into tokens,",
    "reference": "what the reference says, or the reference itself (--reference)",
}
"""Keys of digests, whose numbers tell nobody anything, and what they are of."""
IN_WORDS = {
    "examples": "the number of examples",
    "tokens": "the number of tokens",
    "shared": "how many tokens all examples begin with together",
}
"""Keys that are not settings."""


def check_same_order(
    state: Mapping[str, Any], now: Mapping[str, Any], *, place: Collection[str], advice: str
) -> None:
    """ConfigError unless a saved `state` and that of a source `now` agree in all but `place`, the keys that
    say how far it is.

    `advice` says what decides the order: "the first run's --data and --seed".
    """
    for key in sorted(now.keys() - set(place), key=lambda key: (key in CONTENTS, key)):
        if state.get(key) == now[key]:
            continue
        if key in CONTENTS:
            differs = f"{CONTENTS[key]} differs"
        else:
            differs = "; ".join(differences(IN_WORDS.get(key, key), state.get(key), now[key]))
        raise ConfigError(
            f"cannot go on in the same order: {differs}; resume with {advice}, or start anew (--out)"
        )
