"""Structured output: whatever the logits, what ends fulfils its schema or pattern."""

import gc
import json
import random
import re
import subprocess
import sys
import weakref
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from random_schemas import Schemas

from shizuku.errors import ConfigError, MissingExtraError, ModelError
from shizuku.inference import grammar
from shizuku.inference.grammar import Grammar, GrammarProcessor
from shizuku.text.special_tokens import SpecialTokens
from shizuku.text.tokenizer import Tokenizer
from shizuku.text.wordpiece import BERT

PROMPT = [5, 6, 7]
TEXT = [
    '{"name": "雫", "age": 12, "tags": ["水", "露"], "ok": true, "none": null}\n' * 3,
    "吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。" * 3,
    "A drop of water fell on a leaf, and another: 1234567890 -+.eE {}[]\":,\\/ 'x' (y) <z> #!?" * 3,
    "".join(map(chr, range(32, 127))),
]
PLACES: dict[str, Any] = {
    "type": "array",
    "items": {"enum": ["海", "川", "池"]},
    "minItems": 1,
    "maxItems": 3,
}
TREE: dict[str, Any] = {
    "type": "object",
    "properties": {
        "水": {"type": "integer"},
        "kids": {"type": "array", "items": {"$ref": "#/$defs/tree"}},
    },
    "required": ["水"],
}


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.train(TEXT, 380)


def record(**properties: Any) -> dict[str, Any]:
    """The schema of an object with exactly these properties."""
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def read(
    processor: GrammarProcessor,
    tokenizer: Tokenizer,
    seed: int,
    *,
    limit: int = 400,
    closing: str = "",
) -> tuple[list[int], str]:
    """What a model of random logits, one that likes to close things, writes: ids and why it ended.

    Now and then it wants to write `closing`.
    """
    random_numbers = np.random.default_rng(seed)
    likes_V = np.zeros(tokenizer.vocab_size, dtype=np.float32)
    for token_id in range(tokenizer.vocab_size):
        word = tokenizer.token_bytes(token_id)
        likes_V[token_id] += 5.0 * bool(re.search(rb'[\]}"]', word)) + 2.0 * (len(word) > 1)
    likes_V[list(tokenizer.stop_ids)] += 9
    ids = list(PROMPT)
    wanted: list[int] = []
    while len(ids) < limit + len(PROMPT):
        logits_V = 2 * random_numbers.standard_normal(tokenizer.vocab_size, dtype=np.float32) + likes_V
        allowed_V = processor(ids, logits_V)
        if np.isneginf(allowed_V).all():
            return ids[len(PROMPT) :], "nothing"
        if closing and random_numbers.random() < 0.1 and not wanted:
            wanted = tokenizer.encode(closing)
        if wanted and not np.isneginf(allowed_V[wanted[0]]):
            ids.append(wanted.pop(0))
        else:
            wanted = []
            ids.append(int(allowed_V.argmax()))
        if ids[-1] in tokenizer.stop_ids:
            return ids[len(PROMPT) : -1], "stop"
    return ids[len(PROMPT) :], "length"


def test_random_logits_give_what_random_schemas_ask_for(tokenizer: Tokenizer) -> None:
    ended = 0
    checker = jsonschema.FormatChecker()
    for seed in range(200):
        schema = Schemas(seed).schema()
        made = grammar.json_schema(schema, tokenizer)
        ids, finish = read(made.processor(), tokenizer, seed)
        text = tokenizer.decode_bytes(ids).decode()
        if finish == "stop":
            ended += 1
            assert made.accepts(ids)
            jsonschema.Draft202012Validator(schema, format_checker=checker).validate(json.loads(text))
        else:
            assert finish == "length" and not made.accepts(ids), (schema, text)
    assert ended >= 180


@pytest.mark.parametrize(
    "schema",
    [
        {"$defs": {"tree": {**TREE, "additionalProperties": False}}, "$ref": "#/$defs/tree"},
        {"type": "object", "allOf": [record(a={"type": "integer"}), {"properties": {"a": {"minimum": 7}}}]},
        {"allOf": [{"properties": {"a": {"type": "null"}}, "required": ["a"]}, {"required": ["b"]}]},
        {"type": "object", "minProperties": 1, "additionalProperties": PLACES},
        {
            "type": "object",
            "patternProperties": {"^[ab]$": {"type": "integer"}},
            "additionalProperties": False,
        },
        {"oneOf": [{"type": "integer"}, {"type": "string", "maxLength": 3}]},
        {"type": "integer", "title": "how many", "description": "of them", "default": 3, "x-order": 1},
    ],
)  # fmt: skip
def test_schemas_put_together(schema: dict[str, Any], tokenizer: Tokenizer) -> None:
    made = grammar.json_schema(json.dumps(schema), tokenizer)
    ended = 0
    for seed in range(12):
        ids, finish = read(made.processor(), tokenizer, seed)
        if finish == "stop":
            ended += 1
            jsonschema.Draft202012Validator(schema).validate(json.loads(tokenizer.decode(ids)))
    assert ended >= 6


def test_any_object(tokenizer: Tokenizer) -> None:
    made = grammar.json_object(tokenizer)
    results = [read(made.processor(), tokenizer, seed) for seed in range(20)]
    objects = [json.loads(tokenizer.decode(ids)) for ids, finish in results if finish == "stop"]
    assert len(objects) >= 10 and all(isinstance(found, dict) for found in objects)


@pytest.mark.parametrize(
    ("pattern", "match"),
    [
        (r"[ぁ-ん]{2,6}、\p{Han}{1,4}。", r"[ぁ-ん]{2,6}、[⺀-鿿々〇豈-﫿\U00020000-\U0003FFFF]{1,4}。"),
        (r"(yes|no)(!|\?){0,3}", r"(yes|no)(!|\?){0,3}"),
        (r"a|bb|", r"a|bb|"),
        (r"é😀{1,2}/[0-9]{4}", r"é😀{1,2}/[0-9]{4}"),
    ],
)
def test_patterns_hold_from_end_to_end(pattern: str, match: str, tokenizer: Tokenizer) -> None:
    made = grammar.regex(pattern, tokenizer)
    for seed in range(10):
        ids, finish = read(made.processor(), tokenizer, seed)
        assert finish == "stop"
        assert re.fullmatch(match, tokenizer.decode_bytes(ids).decode())


def test_grammars(tokenizer: Tokenizer) -> None:
    sums = grammar.lark('start: NUMBER ("+" NUMBER){1,3} "=" NUMBER\nNUMBER: /[0-9]{1,2}/', tokenizer)
    same = grammar.gbnf('root ::= num ("+" num)+ "=" num\nnum ::= [0-9] [0-9]?', tokenizer)
    for made in (sums, same):
        assert made.accepts(tokenizer.encode("12+3=15")) and not made.accepts(tokenizer.encode("12+3="))
        ids, finish = read(made.processor(), tokenizer, 3)
        assert finish in ("stop", "length") and (finish == "length" or made.accepts(ids))


SIZES = {"byte-bpe": 380, "character-bpe": 200, "unigram": 60, "characters": None, "wordpiece": 190}


@pytest.mark.parametrize("kind", SIZES)
def test_every_kind_of_vocabulary(kind: Any) -> None:
    special = replace(BERT, eos=BERT.sep) if kind == "wordpiece" else None
    chance = random.Random(0)
    numbers = [f"[{chance.randrange(9**9)}, true] " * 2 for _ in range(300)]
    text = numbers if kind == "unigram" else TEXT
    tokenizer = Tokenizer.train(text, SIZES[kind], kind=kind, special=special)
    made = grammar.json_schema({"type": "array", "items": {"enum": [1, 20, True]}, "maxItems": 4}, tokenizer)
    pattern = grammar.regex("[0-9]{1,3}", tokenizer)
    ended = 0
    for seed in range(10):
        ids, finish = read(made.processor(), tokenizer, seed)
        text = b"".join(tokenizer.written(token_id) for token_id in ids).decode()
        if finish == "stop":
            ended += 1
            assert set(json.loads(text)) <= {1, 20}
        digits, finish = read(pattern.processor(), tokenizer, seed)
        assert finish == "stop"
        assert re.fullmatch("[0-9]{1,3}", b"".join(map(tokenizer.written, digits)).decode())
    assert ended >= 5


def test_tokens_may_cross_the_borders_of_the_structure(tokenizer: Tokenizer) -> None:
    made = grammar.json_schema(record(name={"type": "string"}, age={"type": "integer"}), tokenizer)
    ids = tokenizer.encode('{"name": "雫", "age": 12}')
    words = [tokenizer.token_bytes(token_id) for token_id in ids]
    assert any(b'"' in word and len(word) > 1 for word in words), "the vocabulary has no such token"
    processor = made.processor()
    for count in range(len(ids)):
        logits_V = processor([*PROMPT, *ids[:count]], np.zeros(tokenizer.vocab_size, dtype=np.float32))
        assert logits_V[ids[count]] == 0
        assert np.isneginf(logits_V[list(tokenizer.stop_ids)]).all()
    logits_V = processor([*PROMPT, *ids], np.zeros(tokenizer.vocab_size, dtype=np.float32))
    assert set(np.flatnonzero(logits_V == 0)) == set(tokenizer.stop_ids)
    assert processor.complete and processor.only_stop


def test_control_tokens_and_rows_without_a_token_are_never_allowed(tokenizer: Tokenizer) -> None:
    processor = grammar.regex(r"[\s\S]*", tokenizer).processor()
    given_V = np.zeros(tokenizer.vocab_size + 30, dtype=np.float32)
    logits_V = processor(PROMPT, given_V)
    assert np.isneginf(logits_V[tokenizer.vocab_size :]).all()
    refused = {i for i in range(tokenizer.vocab_size) if np.isneginf(logits_V[i])}
    assert set(tokenizer.control) - tokenizer.stop_ids <= refused
    assert not refused & tokenizer.stop_ids
    assert (given_V == 0).all(), "the model's own logits are changed"


def test_ids_may_jump_forward_and_back(tokenizer: Tokenizer) -> None:
    made = grammar.json_schema(Schemas(7).thing(0), tokenizer)
    ids, _ = read(made.processor(), tokenizer, 1, limit=120)
    zeros_V = np.zeros(tokenizer.vocab_size, dtype=np.float32)
    one_by_one = made.processor()
    expected = [one_by_one([*PROMPT, *ids[:count]], zeros_V) for count in range(len(ids) + 1)]
    jumping, chance = made.processor(), random.Random(0)
    jumping(PROMPT, zeros_V)
    for _ in range(150):
        count = chance.randrange(len(ids) + 1)
        np.testing.assert_array_equal(jumping([*PROMPT, *ids[:count]], zeros_V), expected[count])
    told = made.processor(len(PROMPT))
    np.testing.assert_array_equal(told([*PROMPT, *ids], zeros_V), expected[-1])


def test_another_branch_after_going_back(tokenizer: Tokenizer) -> None:
    processor = grammar.regex("(ab|cd)[0-9]", tokenizer).processor()
    zeros_V = np.zeros(tokenizer.vocab_size, dtype=np.float32)
    processor(PROMPT, zeros_V)
    a, c, d, one = (tokenizer.encode(text)[0] for text in "acd1")
    processor([*PROMPT, a], zeros_V)
    assert not np.isneginf(processor([*PROMPT, c, d], zeros_V)[one])
    processor([*PROMPT, c, d, one], zeros_V)
    assert processor.only_stop
    assert processor.allowed([*PROMPT], [c, d, one, one]) == 3
    with pytest.raises(ModelError, match="does not allow"):
        processor([*PROMPT, one], zeros_V)
    assert not np.isneginf(processor([*PROMPT, c], zeros_V)[d])
    with pytest.raises(ModelError, match="one for each request"):
        processor(PROMPT[:1], zeros_V)


def test_a_vocabulary_that_cannot_go_on_says_so_and_never_stops() -> None:
    tokenizer = Tokenizer.train(['{"a": 1234567890'], None, kind="characters")
    made = grammar.json_schema(record(a={"type": "integer"}), tokenizer)
    processor = made.processor()
    ids, finish = read(processor, tokenizer, 0, limit=200)
    assert finish == "length" or (finish == "nothing" and "no token of this vocabulary" in processor.problem)
    assert not processor.complete and not made.accepts(ids)
    fixed = grammar.regex("12}", tokenizer).processor()
    assert read(fixed, tokenizer, 0)[1] == "nothing" and "no token of this vocabulary" in fixed.problem
    with pytest.raises(ConfigError, match="cannot be begun: no token"):
        grammar.regex("[xyz]1", tokenizer)


def test_what_generate_is_given(tokenizer: Tokenizer) -> None:
    assert grammar.constraint(tokenizer) is None
    assert isinstance(grammar.constraint(tokenizer, schema={"type": "null"}), Grammar)
    made = grammar.constraint(tokenizer, regex="a+")
    assert made is not None and made.accepts(tokenizer.encode("aa"))
    with pytest.raises(ConfigError, match="both given"):
        grammar.constraint(tokenizer, schema={}, regex="a")
    with pytest.raises(ConfigError, match="--stop"):
        grammar.constraint(tokenizer, schema={"type": "string"}, stop=["\n"])


def test_compiled_once_and_freed_with_its_tokenizer() -> None:
    tokenizer = Tokenizer.train(TEXT, 300)
    schema = {"type": "object", "properties": {"a": PLACES}}
    assert grammar.json_schema(schema, tokenizer) is grammar.json_schema(dict(schema), tokenizer)
    reference = weakref.ref(tokenizer)
    del tokenizer
    gc.collect()
    assert reference() is None


def test_a_grammar_that_many_have_used_begins_anew(tokenizer: Tokenizer) -> None:
    """What copies of a matcher work out is shared, and limited: that must not end the texts of others."""
    own = Tokenizer.train(TEXT, 380)
    made = grammar.regex(".*a.{30}b", own)
    limits = sys.modules["llguidance"].LLParserLimits(verbose_errors=False, max_lexer_states=500)
    made.vocabulary.limits = limits
    made.renew(made.matcher)
    plain = grammar.regex(".*a.{30}b", tokenizer)
    for seed in range(80):
        processor, expected = made.processor(), plain.processor()
        numbers, ids = np.random.default_rng(seed), [1]
        for _ in range(12):
            logits_V = numbers.standard_normal(own.vocab_size, dtype=np.float32)
            found_V = processor(ids, logits_V)
            np.testing.assert_array_equal(found_V, expected(ids, logits_V))
            ids.append(int(found_V.argmax()))
            if ids[-1] in own.stop_ids:
                break
    made.vocabulary.limits = sys.modules["llguidance"].LLParserLimits(max_lexer_states=60)
    made.renew(made.matcher)
    processor = made.processor()
    assert read(processor, own, 0)[1] == "nothing" and "too many states" in processor.problem


def test_requests_in_threads_do_not_disturb_each_other(tokenizer: Tokenizer) -> None:
    made = [grammar.json_schema(Schemas(seed).thing(0), tokenizer) for seed in range(4)]
    expected = [read(made[n % 4].processor(), tokenizer, n, limit=80) for n in range(16)]
    with ThreadPoolExecutor(4) as pool:
        found = pool.map(lambda n: read(made[n % 4].processor(), tokenizer, n, limit=80), range(16))
    assert list(found) == expected


def test_a_vocabulary_that_ends_no_text_is_refused() -> None:
    tokenizer = Tokenizer.train(TEXT, 300, special=SpecialTokens())
    with pytest.raises(ConfigError, match="no token that ends a text"):
        grammar.json_object(tokenizer)


def test_without_the_library_the_extra_is_named(monkeypatch: Any) -> None:
    monkeypatch.setitem(sys.modules, "llguidance", None)
    with pytest.raises(MissingExtraError, match=r"shizuku\[grammar\]"):
        grammar.json_object(Tokenizer.train(TEXT, 300))


def test_no_torch_is_imported() -> None:
    program = (
        "import sys; from shizuku.inference import grammar; from shizuku.text.tokenizer import Tokenizer;"
        "t = Tokenizer.train(['{\"a\": 1}'], None, kind='characters');"
        "grammar.json_object(t); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_real_vocabulary(smollm2_gguf: Path) -> None:
    tokenizer = Tokenizer.load(smollm2_gguf)
    schema = record(場所=PLACES, n={"type": "integer"})
    made = grammar.json_schema(schema, tokenizer)
    ended = 0
    for seed in range(8):
        ids, finish = read(made.processor(), tokenizer, seed, limit=150)
        if finish == "stop":
            ended += 1
            jsonschema.validate(json.loads(tokenizer.decode(ids)), schema)
    assert ended >= 6
