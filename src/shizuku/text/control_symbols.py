"""Two faces of one vocabulary: one reads control tokens out of text, the other can never produce them."""

import json
from typing import Any

from tokenizers import AddedToken, Tokenizer

from shizuku.errors import TokenizerError
from shizuku.text.byte_alphabet import character_bytes


def mark_control(backend: Tokenizer, names: tuple[str, ...]) -> None:
    """Make each of `names` a special token of `backend`; raises TokenizerError for a name that has no id."""
    added = backend.get_added_tokens_decoder()
    special = {token.content for token in added.values() if token.special}
    for name in names:
        if backend.token_to_id(name) is None:
            raise TokenizerError(
                f"the control token {name!r} is named in the tokenizer's settings but has no id in its "
                "vocabulary. Correct tokenizer_config.json or special_tokens_map.json."
            )
        if name not in special:
            backend.add_special_tokens([AddedToken(name, special=True, normalized=False)])


def control_ids(backend: Tokenizer) -> dict[int, str]:
    """Id to content of the control tokens: what the vocabulary marks as special (not its ordinary added
    words).
    """
    return {i: token.content for i, token in backend.get_added_tokens_decoder().items() if token.special}


def text_only(backend: Tokenizer) -> Tokenizer:
    """A second backend whose output holds no control token, whatever the text.

    Two objects, because flipping `encode_special_tokens` on one would race between threads. Where merges, or
    a whole piece (`ignore_merges`), could still arrive at a control token, that path is cut out of the copy.
    """
    names = set(control_ids(backend).values())
    serialised = backend.to_str()
    tree = json.loads(serialised)
    if _cut_paths(tree["model"], names):
        _keep_added_ids(tree, names)
        serialised = json.dumps(tree)
    copy = Tokenizer.from_str(serialised)
    copy.encode_special_tokens = True
    return copy


def _cut_paths(model: dict[str, Any], names: set[str]) -> bool:
    """Remove from a BPE model what builds one of `names` out of text; True if anything was removed."""
    if model.get("type") != "BPE":
        return False
    single = sorted(name for name in names if len(name) == 1 and name in character_bytes())
    if single:
        raise TokenizerError(
            f"the byte {single[0]!r} is marked as a control token; text could not be written without it."
        )
    merges = [
        pair
        for pair in model["merges"]
        if "".join(pair if isinstance(pair, list) else pair.split(" ")) not in names
    ]
    whole = names & model["vocab"].keys() if model.get("ignore_merges") else set()
    if len(merges) == len(model["merges"]) and not whole:
        return False
    parts = {part for pair in merges for part in (pair if isinstance(pair, list) else pair.split(" "))}
    model["merges"] = merges
    for name in names - parts:
        model["vocab"].pop(name, None)
    return True


def _keep_added_ids(tree: dict[str, Any], names: set[str]) -> None:
    """Added words that stay keep their ids: without this the library would number them anew after the
    removal.
    """
    tree["added_tokens"] = [token for token in tree["added_tokens"] if token["content"] not in names]
    for token in tree["added_tokens"]:
        tree["model"]["vocab"].setdefault(token["content"], token["id"])
