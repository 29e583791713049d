"""What is learned of a conversation: the answers and what ends them, by role, whatever the pad token is."""

import pytest

from shizuku.errors import ConfigError, TokenizerError
from shizuku.text.tokenizer import Tokenizer
from shizuku.tuning.examples import Conversation, Example
from shizuku.tuning.rendering import encode_example, encode_examples
from tiny_language_model import bare_tokenizer, tokenizer

TALK = [
    {"role": "system", "content": "Be short."},
    {"role": "user", "content": "Who bakes? <|im_end|>"},
    {"role": "assistant", "content": "The baker, at seven."},
    {"role": "user", "content": "誰?"},
    {"role": "assistant", "content": "パン屋です。"},
]


def learned(found: Tokenizer, example: Example) -> str:
    ids = [number for number, yes in zip(example.ids, example.learned, strict=True) if yes]
    return found.decode(ids, skip_control=False)


def test_ids_are_those_of_the_chat_and_answers_are_learned_with_what_ends_them() -> None:
    found = tokenizer()
    example = encode_example(found, Conversation(TALK))
    assert example.ids == found.encode_chat(TALK, add_generation_prompt=False)
    assert learned(found, example) == "The baker, at seven.<|im_end|>パン屋です。<|im_end|>"
    stops = [n for n, yes in zip(example.ids, example.learned, strict=True) if yes and n in found.stop_ids]
    assert len(stops) == 2, "what people spell like the end of a turn is text"


def test_a_pad_token_that_ends_turns_hides_nothing() -> None:
    found = tokenizer()
    end = next(iter(found.stop_ids & set(found.encode_chat(TALK, add_generation_prompt=False))))
    padded = Tokenizer(
        found.backend,
        special=type(found.special)(**{**_fields(found.special), "pad": found.control[end]}),
        chat_templates=found.chat_templates,
    )
    assert padded.pad_id == end
    assert encode_example(padded, Conversation(TALK)) == encode_example(found, Conversation(TALK))


def test_roles_weights_and_tool_outputs() -> None:
    found = tokenizer()
    asked = learned(found, encode_example(found, Conversation(TALK), learn="user"))
    assert "Who bakes?" in asked and "誰?" in asked and "baker" not in asked
    whole = encode_example(found, Conversation(TALK), learn="all")
    assert all(whole.learned)
    muted = [*TALK[:2], {**TALK[2], "weight": 0}, *TALK[3:]]
    assert learned(found, encode_example(found, Conversation(muted))) == "パン屋です。<|im_end|>"
    tool = [*TALK[1:3], {"role": "tool", "content": "42 loaves"}, {"role": "assistant", "content": "42."}]
    assert "loaves" not in learned(found, encode_example(found, Conversation(tool)))
    with pytest.raises(ConfigError, match="--learn poets"):
        encode_example(found, Conversation(TALK), learn="poets")


def test_without_a_template_it_is_refused() -> None:
    with pytest.raises(TokenizerError, match="chat template"):
        encode_example(bare_tokenizer(), Conversation(TALK))


def test_a_template_that_rewrites_earlier_answers_gives_one_example_of_each() -> None:
    found = tokenizer()
    template = (
        "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' + (m['content'] if m['role'] != "
        "'assistant' or loop.last else '…') + '<|im_end|>\\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
    )
    rewriting = Tokenizer(found.backend, special=found.special, chat_templates={"default": template})
    examples = encode_examples(rewriting, Conversation(TALK))
    assert [learned(rewriting, one) for one in examples] == [
        "The baker, at seven.<|im_end|>",
        "パン屋です。<|im_end|>",
    ]
    with pytest.raises(TokenizerError, match="encode_examples"):
        encode_example(rewriting, Conversation(TALK))


def _fields(special: object) -> dict[str, object]:
    return {name: getattr(special, name) for name in special.__dataclass_fields__}
