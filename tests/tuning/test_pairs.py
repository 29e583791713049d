"""Preference pairs out of files: formats told apart record by record, bad ones counted, a split by prompt."""

import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shizuku.errors import DocumentError
from shizuku.text.chat import CHATML
from shizuku.text.problems import Problems
from shizuku.text.tokenizer import Tokenizer
from shizuku.tuning.pair_examples import encode_pairs, fitted_pairs
from shizuku.tuning.pairs import PreferencePair, read_pairs, split_pairs
from tiny_language_model import tokenizer

ASKED = {"role": "user", "content": "Two?"}
GOOD, BAD = {"role": "assistant", "content": "2."}, {"role": "assistant", "content": "3!"}
HUMAN = "\n\nHuman: Two?\n\nAssistant: Which?\n\nHuman: The number.\n\nAssistant: "


def write(path, records):
    path.write_text("\n".join(map(json.dumps, records)), encoding="utf-8")
    return path


def plain(turns):
    return [(turn["role"], turn["content"]) for turn in turns]


@pytest.mark.parametrize(
    ("record", "kind"),
    [
        ({"prompt": "Two?", "chosen": "2.", "rejected": "3!"}, "prompt, chosen and rejected"),
        (
            {"prompt": [ASKED], "chosen": [GOOD], "rejected": [BAD]},
            "prompt with chosen and rejected as messages",
        ),
        (
            {"prompt": [ASKED], "chosen": "2.", "rejected": "3!"},
            "prompt as messages with chosen and rejected as text",
        ),
        ({"chosen": [ASKED, GOOD], "rejected": [ASKED, BAD]}, "chosen and rejected as whole conversations"),
        (
            {"prompt": "Two?", "chosen": [ASKED, GOOD], "rejected": [ASKED, BAD]},
            "chosen and rejected as whole conversations",
        ),
        (
            {
                "chosen": [{"from": "human", "value": "Two?"}, {"from": "gpt", "value": "2."}],
                "rejected": [{"from": "human", "value": "Two?"}, {"from": "gpt", "value": "3!"}],
            },
            "chosen and rejected as whole conversations",
        ),
        (
            {"chosen": "\n\nHuman: Two?\n\nAssistant: 2.", "rejected": "\n\nHuman: Two?\n\nAssistant: 3!"},
            "transcripts of Human and Assistant",
        ),
        (
            {"prompt": "\n\nHuman: Two?\n\nAssistant:", "chosen": " 2.", "rejected": " 3!"},
            "prompt, chosen and rejected",
        ),
        (
            {"instruction": "Two?", "input": "", "output": "2.", "chosen": "2.", "rejected": "3!"},
            "instruction, input, chosen and rejected (Alpaca)",
        ),
        ({"question": "Two?", "chosen": "2.", "rejected": "3!"}, "question, chosen and rejected"),
    ],
)
def test_a_record_says_by_its_keys_what_it_is(tmp_path, record, kind) -> None:
    read = read_pairs(write(tmp_path / "pairs.jsonl", [record]))
    assert dict(read.formats) == {kind: 1} and kind in read.say()
    (pair,) = read.items
    assert plain(pair.prompt) == [("user", "Two?")]
    assert (pair.chosen_text.strip(), pair.rejected_text.strip()) == ("2.", "3!")


def test_transcripts_share_what_stands_before_the_answers_that_differ(tmp_path) -> None:
    record = {"chosen": HUMAN + "Two\n\nand no more.", "rejected": HUMAN + "Three."}
    (pair,) = read_pairs(write(tmp_path / "pairs.jsonl", [record])).items
    assert plain(pair.prompt) == [("user", "Two?"), ("assistant", "Which?"), ("user", "The number.")]
    assert pair.chosen_text == "Two\n\nand no more."
    conversation = pair.conversation(chosen=False)
    assert [turn.get("weight", 1) for turn in conversation.messages] == [1, 0, 1, 1]


def test_system_prompt_input_column_and_scores_are_kept(tmp_path) -> None:
    record = {
        "system": "Be brief.", "instruction": "Add.", "input": "1 + 1", "chosen": "2", "rejected": "3",
        "score_chosen": 9, "score_rejected": 4.5,
    }  # fmt: skip
    (pair,) = read_pairs(write(tmp_path / "pairs.jsonl", [record])).items
    assert plain(pair.prompt) == [("system", "Be brief."), ("user", "Add.\n\n1 + 1")]
    assert pair.margin == 4.5


def test_what_says_nothing_about_a_preference_is_counted_with_its_place(tmp_path) -> None:
    bad = {
        "equal sides": [
            {"prompt": "Two?", "chosen": "2.", "rejected": "2. "},
            {"chosen": HUMAN + "2.", "rejected": HUMAN + "2."},
            {"chosen": [ASKED, GOOD], "rejected": [ASKED, GOOD]},
        ],
        "empty answer": [
            {"prompt": "Two?", "chosen": "2.", "rejected": " "},
            {"chosen": HUMAN + "2.", "rejected": HUMAN},
        ],
        "no prompt": [
            {"chosen": "2.", "rejected": "3!"},
            {"prompt": " ", "chosen": "2.", "rejected": "3!"},
            {"chosen": [GOOD], "rejected": [BAD]},
        ],
        "a side has no answer of its own": [{"chosen": [ASKED, GOOD], "rejected": [ASKED, GOOD, ASKED, BAD]}],
        "roles out of order: assistant after assistant": [
            {"chosen": [ASKED, GOOD, GOOD], "rejected": [ASKED, GOOD, BAD]}
        ],
        "chosen and rejected are not both text, or both messages": [
            {"prompt": "Two?", "chosen": "2.", "rejected": None}
        ],
        "no chosen and rejected (keys: prompt, chosen)": [{"prompt": "Two?", "chosen": "2."}],
    }
    good = {"prompt": "Two?", "chosen": "2.", "rejected": "3!"}
    problems = Problems()
    records = [good, *[record for records in bad.values() for record in records]]
    read = read_pairs(write(tmp_path / "pairs.jsonl", records), problems=problems)
    assert len(read.items) == 1
    assert dict(problems.counts) == {reason: len(records) for reason, records in bad.items()}
    assert problems.places["equal sides"][0].endswith("pairs.jsonl:2")
    with pytest.raises(DocumentError, match=r"no preference pair in .*equal sides"):
        read_pairs(write(tmp_path / "none.jsonl", bad["equal sides"]))


def test_one_file_of_each_kind_gives_the_same_pairs(tmp_path) -> None:
    records = [{"prompt": f"{n}?", "chosen": f"{n}.", "rejected": f"{n}!"} for n in range(5)]
    write(tmp_path / "pairs.jsonl", records)
    (tmp_path / "pairs.json").write_text(json.dumps(records, indent=1), encoding="utf-8")
    with gzip.open(tmp_path / "pairs.jsonl.gz", "wt") as file:
        file.write("\n".join(map(json.dumps, records)))
    pq.write_table(pa.Table.from_pylist(records), tmp_path / "pairs.parquet")
    names = ("pairs.jsonl", "pairs.json", "pairs.jsonl.gz", "pairs.parquet")
    found = [[(plain(p.prompt), p.chosen_text) for p in read_pairs(tmp_path / n).items] for n in names]
    assert len(found[0]) == 5 and all(one == found[0] for one in found)


def test_no_prompt_is_on_both_sides_of_the_split_whatever_the_order() -> None:
    def pair(prompt: str, number: int) -> PreferencePair:
        answer = {"role": "assistant", "content": str(number)}
        return PreferencePair([{"role": "user", "content": prompt}], [answer], [BAD], id=str(number))

    pairs = [pair(f"p{number % 25}" + " " * (number % 2), number) for number in range(100)]
    kept, held = split_pairs(pairs, 0.2, 0)
    assert len(kept) + len(held) == 100 and 20 <= len(held) < 24
    assert not {p.prompt_digest() for p in kept} & {p.prompt_digest() for p in held}
    turned = split_pairs(pairs[::-1], 0.2, 0)[1]
    assert {p.id for p in turned} == {p.id for p in held} != {p.id for p in split_pairs(pairs, 0.2, 1)[1]}
    assert split_pairs(pairs[:9], 0.2, 0)[1] == [] and split_pairs([pairs[0]] * 20, 0.2, 0)[1] == []


def test_the_real_files_are_read_whole(data_pack) -> None:
    problems = Problems()
    read = read_pairs(data_pack / "preference" / "alpaca_style.pairs.json", problems=problems)
    assert len(read.items) == 1094 and dict(problems.counts) == {"equal sides": 6}
    problems = Problems()
    read = read_pairs(data_pack / "preference" / "hh_harmless.test.jsonl.gz", problems=problems)
    assert len(read.items) + problems.counts.total() == 2312 and len(read.items) == 2299


def test_only_the_answers_of_a_pair_are_learned_each_with_what_ends_it() -> None:
    turns = [ASKED, {"role": "assistant", "content": "Which?"}, {"role": "user", "content": "The number."}]
    pair = PreferencePair(turns, [GOOD], [BAD])
    alike = PreferencePair(turns, [GOOD], [{"role": "assistant", "content": "2.\n"}], id="here")
    stripping = Tokenizer(
        tokenizer().backend,
        special=tokenizer().special,
        chat_templates={"default": CHATML.replace("message['content']", "message['content'] | trim")},
        settings=tokenizer().settings,
    )
    problems = Problems()
    found = encode_pairs(stripping, [pair, alike], problems=problems)
    assert dict(problems.counts) == {"sides that the chat template writes alike": 1}
    (encoded,) = found.items
    for side, text in ((encoded.chosen, "2."), (encoded.rejected, "3!")):
        learned = [token for token, yes in zip(side.ids, side.learned, strict=True) if yes]
        assert stripping.decode(learned) == text and learned[-1] in stripping.stop_ids
    shared = encoded.chosen.learned.index(True)
    assert encoded.chosen.ids[:shared] == encoded.rejected.ids[:shared] == stripping.encode_chat(turns)
    with pytest.raises(DocumentError, match="all 1 pairs have a side longer than 3 tokens"):
        fitted_pairs(found, 3, too_long="drop")
    cut = fitted_pairs(found, shared, too_long="cut")
    assert cut.cut == 1 and cut.items[0].chosen.learned == [False] * shared + [True]
    # Nothing of the answers is left that tells the sides apart.
    with pytest.raises(DocumentError):
        fitted_pairs(found, shared - 1, too_long="cut")
