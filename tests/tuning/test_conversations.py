"""Conversations in the formats of the field, and files that are none."""

import gzip
import json

import pytest

from shizuku.errors import DocumentError
from shizuku.text.problems import Problems
from shizuku.tuning.conversations import read_conversations

MESSAGES = {
    "messages": [{"role": "user", "content": "Who bakes?"}, {"role": "assistant", "content": "The baker."}]
}
SHARED = {"conversations": [{"from": "human", "value": "誰?"}, {"from": "gpt", "value": "パン屋。"}]}
ALPACA = {"instruction": "Spell it right.", "input": "freind", "output": "friend"}


@pytest.mark.parametrize("suffix", ["jsonl", "json", "jsonl.gz"])
def test_formats_are_found_out_record_by_record(tmp_path, suffix) -> None:
    records = [MESSAGES, SHARED, ALPACA]
    whole = json.dumps(records) if suffix == "json" else "\n".join(map(json.dumps, records))
    data = whole.encode()
    path = tmp_path / f"chats.{suffix}"
    path.write_bytes(gzip.compress(data) if suffix.endswith("gz") else data)
    found = read_conversations(path)
    assert len(found.items) == 3 and len(found.formats) == 3
    assert [turn["role"] for item in found.items for turn in item.messages] == ["user", "assistant"] * 3
    assert [item.messages[1]["content"] for item in found.items] == ["The baker.", "パン屋。", "friend"]
    asked = found.items[2].messages[0]["content"]
    assert "Spell it right." in asked and "freind" in asked


def test_records_that_teach_nothing_are_counted_with_their_places(tmp_path) -> None:
    broken = [
        {"messages": [{"role": "user", "content": "no answer"}]},
        {"messages": [{"role": "assistant", "content": "first"}, {"role": "system", "content": "late"}]},
        {"instruction": "an empty answer", "input": "", "output": "  "},
        {"messages": "no list"},
        {"neither": "one nor the other"},
        ["a list"],
    ]
    lines = [json.dumps(MESSAGES), *map(json.dumps, broken), '{"messages": [', json.dumps(ALPACA)]
    path = tmp_path / "chats.jsonl"
    path.write_text("\n".join(lines), encoding="utf-8")
    problems = Problems()
    found = read_conversations(path, problems=problems)
    assert len(found.items) == 2
    report = problems.report()
    assert "chats.jsonl" in report and sum(problems.counts.values()) == len(broken) + 1, report


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "empty file"),
        (b"\x00\x01\x02\xff" * 300, "is binary"),
        (b"[]", "nothing in it"),
        (b'{"neither": 1}', "no known format"),
    ],
)
def test_a_file_with_nothing_to_learn_is_refused(tmp_path, data, why) -> None:
    path = tmp_path / "chats.jsonl"
    path.write_bytes(data)
    with pytest.raises(DocumentError, match=rf"chats\.jsonl.*{why}"):
        read_conversations(path)


def test_a_missing_file_is_named(tmp_path) -> None:
    with pytest.raises(DocumentError, match=r"gone\.jsonl"):
        read_conversations(tmp_path / "gone.jsonl")
