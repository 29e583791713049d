"""Tokenizers on disk, as we and others write and read them."""

import json
import re
import shutil
from pathlib import Path

import fuzz
import pytest
from jinja_templates import CHATML_WITH_DEFAULT

from shizuku.errors import TokenizerError
from shizuku.text.special_tokens import SpecialTokens
from shizuku.text.tokenizer import Tokenizer

TEXTS = [
    "The cat didn't sit: 354 × 139.\n\n  吾輩は猫である。",
    "<|im_end|> and <|bos|>",
    *fuzz.strings(300, seed=6),
]


@pytest.fixture(scope="module")
def small() -> Tokenizer:
    return Tokenizer.train(TEXTS * 2, 500)


def same(left: Tokenizer, right: Tokenizer) -> bool:
    return (
        left.encode_batch(TEXTS) == right.encode_batch(TEXTS)
        and left.encode_batch(TEXTS, control=True) == right.encode_batch(TEXTS, control=True)
        and left.special.named() == right.special.named()
        and left.stop_ids == right.stop_ids
        and left.control == right.control
        and left.chat_templates == right.chat_templates
    )


def test_saved_and_loaded_is_the_same(small: Tokenizer, tmp_path: Path) -> None:
    small.save(tmp_path / "deep" / "er")
    assert sorted(file.name for file in (tmp_path / "deep" / "er").iterdir()) == [
        "chat_template.jinja",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    loaded = Tokenizer.load(tmp_path / "deep" / "er")
    assert same(small, loaded)
    alone = Tokenizer.load(tmp_path / "deep" / "er" / "tokenizer.json")
    assert alone.encode_batch(TEXTS) == small.encode_batch(TEXTS)


@pytest.mark.parametrize("model_type", [None, "llama", "qwen3", "gpt2"])
def test_transformers_reads_ours_with_equal_ids(
    small: Tokenizer, tmp_path: Path, model_type: str | None
) -> None:
    from transformers import AutoTokenizer

    small.save(tmp_path)
    if model_type is not None:
        (tmp_path / "config.json").write_text(json.dumps({"model_type": model_type}))
    theirs = AutoTokenizer.from_pretrained(tmp_path)
    assert [theirs.encode(text, add_special_tokens=False) for text in TEXTS] == small.encode_batch(
        TEXTS, control=True
    )
    assert theirs.encode("a prompt") == [0, *small.encode("a prompt")], "a prompt begins as a document does"
    assert (theirs.bos_token_id, theirs.eos_token_id, theirs.pad_token_id) == (0, 1, 2)
    messages = [{"role": "user", "content": "Hello"}]
    rendered = theirs.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert rendered == small.render_chat(messages)


def test_we_read_what_transformers_writes(small: Tokenizer, tmp_path: Path) -> None:
    from transformers import PreTrainedTokenizerFast

    theirs = PreTrainedTokenizerFast(
        tokenizer_object=small.backend,
        bos_token="<|bos|>",
        eos_token="<|eos|>",
        pad_token="<|pad|>",
        chat_template=small.chat_template,
    )
    theirs.save_pretrained(tmp_path)
    assert same(Tokenizer.load(tmp_path), small)


def test_settings_of_a_foreign_tokenizer_survive_saving(small: Tokenizer, tmp_path: Path) -> None:
    small.save(tmp_path / "a")
    file = tmp_path / "a" / "tokenizer_config.json"
    file.write_text(
        json.dumps({**json.loads(file.read_text()), "tokenizer_class": "Qwen2Tokenizer", "extra": [1]})
    )
    Tokenizer.load(tmp_path / "a").save(tmp_path / "b")
    written = json.loads((tmp_path / "b" / "tokenizer_config.json").read_text())
    assert (written["tokenizer_class"], written["extra"], written["eos_token"]) == (
        "Qwen2Tokenizer",
        [1],
        "<|eos|>",
    )


def test_templates_and_tokens_are_read_from_every_place_they_are_kept(
    small: Tokenizer, tmp_path: Path
) -> None:
    small.save(tmp_path)
    (tmp_path / "chat_template.jinja").unlink()
    listed = [{"name": "default", "template": "D"}, {"name": "tool_use", "template": "T{{ eos_token }}"}]
    eos = {"content": "<|eos|>", "lstrip": False}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"chat_template": listed, "eos_token": eos}))
    (tmp_path / "special_tokens_map.json").write_text(
        json.dumps({"pad_token": "<|pad|>", "eos_token": "<|bos|>"})
    )
    (tmp_path / "generation_config.json").write_text(json.dumps({"eos_token_id": [1, 3]}))
    loaded = Tokenizer.load(tmp_path)
    assert (loaded.bos_id, loaded.eos_id, loaded.pad_id) == (None, 1, 2)
    assert loaded.stop_ids == {1, 3, 4}
    assert loaded.document_start_id == 1
    messages = [{"role": "user", "content": "x"}]
    assert loaded.render_chat(messages) == "D"
    assert loaded.render_chat(messages, tools=[{"type": "function"}]) == "T<|eos|>"
    loaded.save(tmp_path / "again")
    assert Tokenizer.load(tmp_path / "again").chat_templates == loaded.chat_templates
    (tmp_path / "chat_template.jinja").write_text("J\r\n")
    assert Tokenizer.load(tmp_path).render_chat(messages) == "J"


def test_gpt2_files_are_read_under_both_names(data_pack: Path, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    shutil.copy(data_pack / "gpt2" / "encoder.json", tmp_path / "vocab.json")
    shutil.copy(data_pack / "gpt2" / "vocab.bpe", tmp_path / "merges.txt")
    ours = Tokenizer.load(tmp_path)
    assert same(ours, Tokenizer.load(data_pack / "gpt2"))
    (tmp_path / "config.json").write_text('{"model_type": "gpt2"}')
    theirs = AutoTokenizer.from_pretrained(tmp_path)
    assert [theirs.encode(text) for text in TEXTS] == ours.encode_batch(TEXTS, control=True)


def test_a_custom_set_of_control_tokens_and_template(tmp_path: Path) -> None:
    special = SpecialTokens(eos="</s>", control=("[INST]",))
    tokenizer = Tokenizer.train(TEXTS, 300, special=special, chat_template=CHATML_WITH_DEFAULT)
    tokenizer.save(tmp_path)
    loaded = Tokenizer.load(tmp_path)
    assert loaded.control == {0: "</s>", 1: "[INST]"}
    assert (loaded.bos_id, loaded.pad_id, loaded.document_start_id, loaded.stop_ids) == (None, None, 0, {0})
    assert Tokenizer.train(TEXTS, 300, special=special).chat_template is None


def broken(small: Tokenizer, root: Path) -> dict[str, tuple[Path, str]]:
    """Each bad file with what its error must say."""
    made: dict[str, tuple[Path, str]] = {}

    def directory(name: str, message: str, **files: str) -> None:
        small.save(root / name)
        for file, text in files.items():
            (root / name / file.replace("__", ".")).write_text(text)
        made[name] = (root / name, message)

    directory("cut", r"tokenizer.json is not JSON", tokenizer__json='{"model": ')
    directory("other", r"tokenizer.json is JSON but no tokenizer", tokenizer__json='{"a": 1}')
    directory("list", r"tokenizer.json holds a list; expected a JSON object", tokenizer__json="[]")
    directory(
        "named", r"'<nope>' is named .* but has no id", tokenizer_config__json='{"eos_token": "<nope>"}'
    )
    gap = json.loads(small.backend.to_str())
    gap["added_tokens"].append({**gap["added_tokens"][0], "content": "<gap>", "id": 9999})
    directory(
        "gap",
        r"gives '<gap>' the id 9999.*Number the added tokens without gaps",
        tokenizer__json=json.dumps(gap),
    )
    for name, merges, message in (
        ("merges", "#version\na b c\n", r"merges.txt, line 2: expected two tokens"),
        ("foreign", "#version\nx y\n", r"vocabulary and merges do not belong together"),
    ):
        (root / name).mkdir()
        (root / name / "vocab.json").write_text('{"a": 0, "b": 1}')
        (root / name / "merges.txt").write_text(merges)
        made[name] = (root / name, message)
    (root / "empty").mkdir()
    made["empty"] = (
        root / "empty",
        r"empty holds no tokenizer: expected tokenizer.json, or vocab.json with merges.txt",
    )
    made["missing"] = (root / "nowhere", r"nowhere does not exist")
    (root / "model.bin").write_bytes(b"x")
    made["kind"] = (root / "model.bin", r"model.bin is no tokenizer that can be read")
    return made


BROKEN = ("cut", "other", "list", "named", "gap", "merges", "foreign", "empty", "missing", "kind")


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_tokenizer_says_what_is_wrong(small: Tokenizer, tmp_path: Path, name: str) -> None:
    path, message = broken(small, tmp_path)[name]
    with pytest.raises(TokenizerError, match=message):
        Tokenizer.load(path)


def test_an_unwritable_place_is_an_error(small: Tokenizer, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(TokenizerError, match=f"could not write the tokenizer to {re.escape(str(tmp_path))}"):
        small.save(tmp_path / "file")


def test_templates_are_not_called_like_paths(tmp_path: Path) -> None:
    Tokenizer.train(["ab ab"], 262).save(tmp_path / "t")
    place = tmp_path / "t" / "tokenizer_config.json"
    written = json.loads(place.read_text())
    for name in ("../../evil", "/evil", "", "a/b"):
        templates = [{"name": "default", "template": "x"}, {"name": name, "template": "y"}]
        place.write_text(json.dumps(written | {"chat_template": templates}))
        (tmp_path / "t" / "chat_template.jinja").unlink(missing_ok=True)
        with pytest.raises(TokenizerError, match="a chat template is called"):
            Tokenizer.load(tmp_path / "t")
