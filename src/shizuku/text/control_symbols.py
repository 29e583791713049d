"""Two faces of one vocabulary: one reads control tokens out of text, the other can never produce them."""

import json
from itertools import groupby
from typing import Any

from tokenizers import AddedToken, Tokenizer, models

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
    a whole piece (`ignore_merges`, WordPiece, Unigram), could still arrive at a control token, that path is
    cut out of the copy. The unknown token alone is still given, to what is unknown. Where nothing has to be
    cut the two share one model, which spares writing out a whole vocabulary and reading it again.
    """
    names = set(control_ids(backend).values())
    if _out_of_reach(backend.model, names):
        sharing = _sharing(backend)
        if sharing is not None:
            return sharing
    serialised = backend.to_str()
    tree = json.loads(serialised)
    if _CUTS.get(tree["model"].get("type"), _nothing)(tree["model"], names):
        _keep_added_ids(tree, names)
        serialised = json.dumps(tree)
    copy = Tokenizer.from_str(serialised)
    copy.encode_special_tokens = True
    return copy


def _out_of_reach(model: Any, names: set[str]) -> bool:
    """Whether no text can arrive at `names` in a BPE model: both parts of a merge are tokens themselves."""
    if not isinstance(model, models.BPE) or model.continuing_subword_prefix or model.end_of_word_suffix:
        return False

    def known(part: str) -> bool:
        return model.token_to_id(part) is not None

    if any(len(name) == 1 or (model.ignore_merges and known(name)) for name in names):
        return False
    return not any(known(name[:cut]) and known(name[cut:]) for name in names for cut in range(1, len(name)))


def _sharing(backend: Tokenizer) -> Tokenizer | None:
    """A tokenizer over the same model that keeps to text; None if its added tokens would get other ids."""
    copy = Tokenizer(backend.model)
    for part in ("normalizer", "pre_tokenizer", "post_processor", "decoder"):
        if getattr(backend, part) is not None:
            setattr(copy, part, getattr(backend, part))
    added = backend.get_added_tokens_decoder()
    in_order = [added[token_id] for token_id in sorted(added)]
    # As many as possible in one call: each builds the matcher of all added tokens anew.
    for special, run in groupby(in_order, key=lambda token: token.special):
        (copy.add_special_tokens if special else copy.add_tokens)(list(run))
    copy.encode_special_tokens = True
    same = {token_id: token.content for token_id, token in copy.get_added_tokens_decoder().items()}
    return copy if same == {token_id: token.content for token_id, token in added.items()} else None


def _cut_merges(model: dict[str, Any], names: set[str]) -> bool:
    """Remove from a BPE model what builds one of `names` out of text; True if anything was removed."""
    single = sorted(name for name in names if len(name) == 1 and name in character_bytes())
    if single:
        raise TokenizerError(
            f"the byte {single[0]!r} is marked as a control token; text could not be written without it."
        )
    pairs = [pair if isinstance(pair, list) else pair.split(" ") for pair in model["merges"]]
    lengths = {len(name) for name in names}
    merges = [
        [left, right]
        for left, right in pairs
        if len(left) + len(right) not in lengths or left + right not in names
    ]
    whole = names & model["vocab"].keys() if model.get("ignore_merges") else set()
    if len(merges) == len(pairs) and not whole:
        return False
    parts = {part for pair in merges for part in pair}
    model["merges"] = merges
    for name in names - parts - {model.get("unk_token")}:
        model["vocab"].pop(name, None)
    return True


def _cut_words(model: dict[str, Any], names: set[str]) -> bool:
    """Remove the words `names` from a WordPiece model; the unknown one gets a name that no word can have."""
    for name in names & model["vocab"].keys():
        token_id = model["vocab"].pop(name)
        if name == model["unk_token"]:
            model["unk_token"] = _NO_WORD
            model["vocab"][_NO_WORD] = token_id
    return True


def _cut_pieces(model: dict[str, Any], names: set[str]) -> bool:
    """Empty the entries `names` of a Unigram model, whose ids are their places: no text holds an empty
    piece.
    """
    model["vocab"] = [["" if piece in names else piece, score] for piece, score in model["vocab"]]
    return True


def _nothing(model: dict[str, Any], names: set[str]) -> bool:
    return False


_NO_WORD = ""
_CUTS = {"BPE": _cut_merges, "WordPiece": _cut_words, "Unigram": _cut_pieces}


def _keep_added_ids(tree: dict[str, Any], names: set[str]) -> None:
    """Added words that stay keep their ids: without this the library would number them anew after the
    removal.
    """
    tree["added_tokens"] = [token for token in tree["added_tokens"] if token["content"] not in names]
    vocabulary = tree["model"]["vocab"]
    for token in tree["added_tokens"]:
        if isinstance(vocabulary, dict):
            vocabulary.setdefault(token["content"], token["id"])
        else:
            vocabulary += [["", 0.0] for _ in range(len(vocabulary), token["id"] + 1)]
            vocabulary[token["id"]][0] = token["content"]
