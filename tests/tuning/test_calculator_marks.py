"""GSM8K's marks become calls, and what the tool says is not learned."""

import json
from pathlib import Path

import pytest

from shizuku.errors import ConfigError, DocumentError
from shizuku.text.problems import Problems
from shizuku.text.tokenizer import Tokenizer
from shizuku.text.tool_calls.formats import find_format
from shizuku.text.tool_calls.hermes import HERMES
from shizuku.text.tool_calls.reader import take_tool_calls
from shizuku.tuning.calculator import CALCULATOR
from shizuku.tuning.calculator_marks import marked_conversations, marked_turns
from shizuku.tuning.conversations import read_conversations
from shizuku.tuning.examples import Conversation
from shizuku.tuning.rendering import encode_example
from shizuku.tuning.templates import template_text
from tiny_language_model import tokenizer

QUESTION = "Aki had 16 pears and gave 3 away. Each of the rest weighs 0.5 pounds. How heavy are they?"
ANSWER = "There are 16-3 = <<16-3=13>>13 pears.\nThey weigh 13*0.5 = <<13*0.5=6.5>>6.5 pounds.\n#### 6.5"


def with_tools() -> Tokenizer:
    """The small tokenizer with the template that comes with the package."""
    plain = tokenizer()
    templates = {"default": template_text(Path("chatml-tools"))}
    return Tokenizer(plain.backend, special=plain.special, chat_templates=templates, settings=plain.settings)


def test_an_answer_becomes_turns() -> None:
    turns = marked_turns(QUESTION, ANSWER)
    assert [turn["role"] for turn in turns] == ["user", "assistant", "tool", "assistant", "tool", "assistant"]
    assert turns[1]["content"] == "There are 16-3 =" and turns[2]["content"] == "13"
    assert turns[3]["content"] == "13 pears.\nThey weigh 13*0.5 ="
    assert turns[3]["tool_calls"][0]["function"]["arguments"] == {"expression": "13*0.5"}
    assert turns[5]["content"] == "6.5 pounds.\nThe answer is 6.5."


def test_the_mask_holds_the_calls_and_the_words_and_nothing_that_the_tool_says() -> None:
    reader = with_tools()
    example = encode_example(reader, Conversation(marked_turns(QUESTION, ANSWER), [CALCULATOR.schema()]))
    runs: list[list[int]] = []
    for number, (token, yes) in enumerate(zip(example.ids, example.learned, strict=True)):
        if yes and not (number and example.learned[number - 1]):
            runs.append([])
        if yes:
            runs[-1].append(token)
    learned = [b"".join(reader.written(t, skip_control=False) for t in run).decode() for run in runs]
    assert learned == [
        "There are 16-3 =\n<tool_call>\n"
        '{"name": "calculator", "arguments": {"expression": "16-3"}}\n</tool_call><|im_end|>',
        "13 pears.\nThey weigh 13*0.5 =\n<tool_call>\n"
        '{"name": "calculator", "arguments": {"expression": "13*0.5"}}\n</tool_call><|im_end|>',
        "6.5 pounds.\nThe answer is 6.5.<|im_end|>",
    ]
    whole = b"".join(reader.written(token, skip_control=False) for token in example.ids).decode()
    assert "<|im_start|>tool\n13<|im_end|>" in whole and "<|im_start|>tool\n6.5<|im_end|>" in whole


def test_the_template_writes_what_the_reader_reads() -> None:
    reader = with_tools()
    assert find_format(reader.chat_template) is HERMES
    turns = marked_turns(QUESTION, ANSWER)
    before = reader.render_chat(turns[:3], tools=[CALCULATOR.schema()])
    written = reader.render_chat(turns[:4], tools=[CALCULATOR.schema()], add_generation_prompt=False)
    assert written.startswith(before), "the turns before an answer are written alike once it is there"
    content, calls = take_tool_calls(written[len(before) :].removesuffix("<|im_end|>\n"))
    assert content == turns[3]["content"] and dict(calls[0].arguments) == {"expression": "13*0.5"}
    system = reader.render_chat([{"role": "system", "content": "Be brief."}, *turns[:1]], tools=None)
    assert system.startswith("<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n")
    assert "tool" not in reader.render_chat(turns[:1])


def test_files_are_read_and_what_is_left_out_is_counted(tmp_path: Path) -> None:
    answers = [
        ANSWER, "It is six.\n#### 6", "10/3 = <<10/3=3.33>>3.33\n#### 3.33", "1+1 = <<1+1>>2\n#### 2",
        "1+1 = <<1+1=2>>two\n#### 2", "5% = <<5%*2=10>>10\n#### 10", "1+1 = <<1+1=2>>2",
    ]  # fmt: skip
    file = tmp_path / "problems.jsonl"
    file.write_text("\n".join(json.dumps({"question": QUESTION, "answer": one}) for one in answers))
    problems = Problems()
    records = marked_conversations([file], problems=problems)
    assert len(records) == 1 and sum(problems.counts.values()) == len(answers) - 1
    assert set(problems.counts) == {
        "no calculator mark", "a mark's result is not the exact one", "a mark is not expression=result",
        "the result does not follow its mark", "a mark that the calculator refuses",
        "no final answer behind ####",
    }  # fmt: skip
    chats = tmp_path / "chats.jsonl"
    chats.write_text(json.dumps(records[0]))
    read = read_conversations([chats]).items[0]
    assert list(read.messages) == records[0]["messages"] and list(read.tools) == records[0]["tools"]
    file.write_text(json.dumps({"question": QUESTION, "answer": "six\n#### 6"}))
    with pytest.raises(DocumentError, match="no problem with calculator marks"):
        marked_conversations([file])


def test_all_of_gsm8k(data_pack: Path) -> None:
    problems = Problems()
    records = marked_conversations([data_pack / "instruct" / "gsm8k.train.jsonl"], problems=problems)
    assert len(records) == 7378 and problems.counts == {"no calculator mark": 95}


def test_a_template_is_found_by_name_or_by_path_and_else_what_there_is_is_said(tmp_path: Path) -> None:
    own = tmp_path / "own.jinja"
    own.write_text("{{ messages }}")
    assert template_text(own) == "{{ messages }}"
    with pytest.raises(ConfigError, match=r"--chat-template nothing-here.*chatml-tools"):
        template_text(Path("nothing-here"))


def test_the_template_is_the_same_to_transformers_and_writes_several_calls() -> None:
    chat_template_utils = pytest.importorskip("transformers.utils.chat_template_utils")
    template = template_text(Path("chatml-tools"))
    calls = [
        {"type": "function", "function": {"name": "calculator", "arguments": {"expression": text}}}
        for text in ('1+"é"', "2*2")
    ]
    turns = [
        {"role": "system", "content": "Be <brief>."}, {"role": "user", "content": "Two, please."},
        {"role": "assistant", "content": "", "tool_calls": calls}, {"role": "tool", "content": "error: no"},
        {"role": "tool", "content": "4"}, {"role": "assistant", "content": "4.", "tool_calls": calls[1:]},
        {"role": "tool", "content": "4"},
    ]  # fmt: skip
    for tools in (None, [CALCULATOR.schema()]):
        ours = with_tools().render_chat(turns, tools=tools, add_generation_prompt=True)
        theirs, _ = chat_template_utils.render_jinja_template(
            [turns], tools=tools, chat_template=template, add_generation_prompt=True
        )
        assert ours == theirs[0]
    told = with_tools().render_chat(turns[:3], tools=tools, add_generation_prompt=False)
    content, read = take_tool_calls(told.split("<|im_start|>assistant\n")[1].removesuffix("<|im_end|>\n"))
    assert content == "" and [dict(one.arguments) for one in read] == [
        one["function"]["arguments"] for one in calls
    ]
