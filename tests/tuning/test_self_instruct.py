"""Self-instruct: what is kept, what is dropped and why, and runs that are killed, resumed and disturbed."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from rouge_score import rouge_scorer

from shizuku.errors import ConfigError, DocumentError, ServerError
from shizuku.tuning.self_instruct.filters import instance_fault, instruction_fault, sound_instances
from shizuku.tuning.self_instruct.generators import Answer, LocalGenerator, Question, ServedGenerator
from shizuku.tuning.self_instruct.journal import Journal
from shizuku.tuning.self_instruct.prompts import WORDINGS, Prompt, read_instances, read_instructions
from shizuku.tuning.self_instruct.run import self_instruct
from shizuku.tuning.self_instruct.settings import SelfInstructConfig
from shizuku.tuning.self_instruct.tasks import Instance, read_tasks
from shizuku.tuning.self_instruct.verb_object import verb_object
from tiny_language_model import tiny_lm

VERBS = ["Write", "List", "Describe", "Explain", "Sort", "Rate", "Translate", "Summarise"]
THINGS = ["poem", "letter", "recipe", "review", "rule", "story", "dream", "plan", "shop", "reason"]
TOPICS = ["rain", "boats", "bread", "winter", "music", "lamps", "trees", "money", "sleep", "rivers"]


class Scripted:
    """Answers in the prompts' form, by the number of the request; may kill its process at one of them."""

    def __init__(self, kill_at: int | None = None) -> None:
        self.kill_at, self.asked = kill_at, 0

    def fits(self, text: str, new_tokens: int) -> bool:
        return True

    def answers(self, questions: Sequence[Question]) -> Iterator[tuple[Question, Answer]]:
        for question in reversed(questions):  # answers don't come in the order of the questions
            if question.number == self.kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
            self.asked += 1
            yield question, Answer(self.text(question), cut=False)

    def text(self, question: Question) -> str:
        draw = random.Random(question.number)
        if question.prompt.text.endswith("Classification?"):
            return draw.choice([" Yes", " No", " Perhaps"])
        if question.prompt.text.endswith("Label:"):
            return f" good\nInput: fine {question.number}\nLabel: bad\nInput: poor {question.number}"
        if question.prompt.text.endswith("Input:"):
            # A line separator is no line's end: neither the journal nor the files may be cut at it.
            return f" none\nOutput: It is\u2028{question.number}."
        items = []
        for _ in range(3):
            words = [draw.choice(VERBS), draw.choice(THINGS), *draw.sample(TOPICS, 3)]
            items.append(" ".join(words) + ".")
        return " " + "\nTask 9: ".join(
            [*items, "Sort boats by size and by age.", "Draw a picture of the sea at night."]
        )


def write_seeds(path: Path) -> Path:
    records = [
        {
            "instruction": f"{VERBS[n % 8]} something of {TOPICS[n]} for child number {n}.",
            "instances": [{"input": "", "output": f"answer {n}"}],
            "is_classification": n % 2 == 0,
        }
        for n in range(10)
    ]
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def settings(folder: Path, **changes: Any) -> SelfInstructConfig:
    config = SelfInstructConfig(
        model="unused", seeds=write_seeds(folder / "seeds.jsonl"), out=folder / "out", tasks=30, batch=4
    )
    return replace(config, **changes)


def written(folder: Path) -> list[str]:
    return [(folder / name).read_text() for name in ("chat.jsonl", "tasks.jsonl", "dropped.jsonl")]


def test_what_is_kept_is_new_sound_and_ready_for_tuning(tmp_path: Path) -> None:
    config = settings(tmp_path)
    result = self_instruct(config, Scripted())
    tasks = read_tasks(config.out / "tasks.jsonl")
    assert result["tasks"] == len(tasks) == 30
    scorer = rouge_scorer.RougeScorer(["rougeL"], use_stemmer=False)
    lines = [task.line for task in [*read_tasks(config.seeds), *tasks]]
    for place in range(10, len(lines)):  # an implementation that isn't ours, each pair
        assert all(scorer.score(lines[place], other)["rougeL"].fmeasure < 0.7 for other in lines[:place])
    dropped = result["dropped"]
    assert isinstance(dropped, dict) and dropped["too much like another"] > 0
    assert dropped["asks for more than text"] > 0
    assert any(task.classification and len(task.instances) == 2 for task in tasks)
    chats = [json.loads(line) for line in (config.out / "chat.jsonl").open()]
    assert [[m["role"] for m in chat["messages"]] for chat in chats] == [["user", "assistant"]] * len(chats)
    assert len(chats) == result["instances"] and all(m["content"] for c in chats for m in c["messages"])
    assert "most frequent" in (config.out / "report.html").read_text()


def test_a_killed_run_asks_nothing_twice_and_ends_the_same(tmp_path: Path) -> None:
    whole = settings(tmp_path, out=tmp_path / "whole")
    uninterrupted = Scripted()
    self_instruct(whole, uninterrupted)
    config = settings(tmp_path)
    program = (
        "import sys; from pathlib import Path; import test_self_instruct as t; "
        "t.self_instruct(t.settings(Path(sys.argv[1])), t.Scripted(kill_at=41))"
    )
    paths = [str(Path(__file__).parent), str(Path(__file__).parents[1]), *sys.path]
    killed = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
    )
    assert killed.returncode == -signal.SIGKILL
    journal = config.out / "journal.jsonl"
    before = journal.read_text().count("\n") - 1
    assert before >= 38, "every answer that had come is there"
    with journal.open("a") as file:
        file.write('{"number": 41, "prom')  # as a kill in the middle of a line leaves it
    with pytest.raises(ConfigError, match="--resume"):
        self_instruct(config, Scripted())
    with pytest.raises(ConfigError, match=r"--temperature 0\.8"):
        self_instruct(replace(config, resume=True, temperature=0.5), Scripted())
    resumed = Scripted()
    self_instruct(replace(config, resume=True), resumed)
    assert written(config.out) == written(whole.out)
    assert resumed.asked == uninterrupted.asked - before
    longer = self_instruct(replace(config, resume=True, tasks=33), Scripted())
    assert longer["tasks"] == 33


def test_two_at_once_and_other_seeds_are_refused(tmp_path: Path) -> None:
    config = settings(tmp_path)
    with (
        Journal(config.out, config.told(), resume=False),
        pytest.raises(ConfigError, match="another process"),
    ):
        self_instruct(config, Scripted())
    self_instruct(replace(config, tasks=1, resume=True), Scripted())
    config.seeds.write_text(config.seeds.read_text().replace("something", "anything"))
    with pytest.raises(ConfigError, match="seeds' content"):
        self_instruct(replace(config, resume=True), Scripted())


def test_a_junk_model_keeps_nothing_and_ends(tmp_path: Path) -> None:
    config = settings(tmp_path, patience=2, requests=60, max_new_tokens=24, human=2, made=0, shown=2)
    generator = LocalGenerator(tiny_lm(context=512), form="completion", top_p=0.95, seed=0)
    result = self_instruct(config, generator)
    assert result["tasks"] == 0 and result["ended"] == "patience"
    assert sum(result["dropped"].values()) >= 8  # type: ignore[attr-defined]
    assert (config.out / "chat.jsonl").read_text() == "" and (config.out / "report.html").exists()
    with pytest.raises(ConfigError, match="window"):
        self_instruct(replace(config, out=tmp_path / "long", max_new_tokens=600), generator)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        ("* Write a poem about rain.", "begins with punctuation"),
        ("Write a poem.", "too short"),
        ("Write " + "many different words here " * 40, "too long"),
        ("Name a town. Output: Paris", "repeats the prompt's frame"),
        ("Rewrite the following text so that it rhymes:", "announces what is missing"),
        ("Say the same thing again " * 6, "repeats itself"),
        ("Write a Python program that adds two numbers.", "asks for a program"),
        ("Describe what is in this image.", "asks for more than text"),
        ("この写真に写っているものを説明してください。", "asks for more than text"),
        ("雨の日についての短い詩を書いてください。", None),
        ("Write a short poem about imagery and graphite.", None),
    ],
)
def test_instructions_have_named_faults(text: str, reason: str | None) -> None:
    assert instruction_fault(text) == reason


def test_instances_have_named_faults() -> None:
    def fault(given: str, output: str) -> str | None:
        return instance_fault("Name it.", Instance(given, output))

    assert fault("a", "a") == "output is the input"
    assert fault("a", "") == "no output"
    assert fault("a", "...") == "output without a word"
    assert fault("a", "None.") == "output says that there is none"
    assert fault("a\nOutput: b", "c") == "repeats the prompt's frame"
    assert fault("a", "the cat sat down " * 5) == "output repeats itself"
    assert fault("a", "b") is None
    two, again = [Instance("a", "1"), Instance("a", "2")], [Instance("b", "3")] * 2
    kept, dropped = sound_instances("Name it.", [*two, *again, Instance("c", "4")], most=1)
    assert kept == [Instance("b", "3")]
    assert dropped == {
        "same input, different outputs": 2, "same instance again": 1, "more than --instances": 1,
    }  # fmt: skip


def test_answers_are_read_and_what_was_cut_off_is_left() -> None:
    english, japanese = WORDINGS["en"], WORDINGS["ja"]
    assert read_instructions(english, " A b.\nTask 10: C\nd.", cut=False) == (["A b.", "C d."], 0)
    assert read_instructions(english, " A b.\nTask 10: C", cut=True) == (["A b."], 1)
    assert read_instructions(japanese, "詩を書く\n課題 10：訳す", cut=False)[0] == ["詩を書く", "訳す"]
    text = " none\nOutput: x\nInput: y\nOutput: z\nInput: w"
    expected = [Instance("", "x"), Instance("y", "z")]
    assert read_instances(english, text, labels_first=False, cut=False) == (expected, 1)
    labels = " good\nInput: fine\nLabel: bad\nInput: po"
    assert read_instances(english, labels, labels_first=True, cut=True) == ([Instance("fine", "good")], 1)


@pytest.mark.parametrize(
    ("text", "pair"),
    [
        ("Write a short story about a lost dog.", ("write", "story")),
        ("Please give me a list of towns.", ("give", "list")),
        ("Given an email, write a polite reply to it.", ("write", "reply")),
        ("What is the capital of Japan?", None),
        ("雨についての詩を書いてください。", ("書", "詩")),
        ("次の文章を要約してください。", ("要約", "文章")),
    ],
)
def test_verb_and_object(text: str, pair: tuple[str, str] | None) -> None:
    assert verb_object(text) == pair


def test_seeds_that_are_none_are_refused_with_their_line(tmp_path: Path) -> None:
    path = write_seeds(tmp_path / "seeds.jsonl")
    path.write_text(path.read_text() + '{"instruction": "x"}\n')
    with pytest.raises(DocumentError, match=r"seeds\.jsonl:11"):
        read_tasks(path)
    path.write_text("")
    with pytest.raises(DocumentError, match="no task"):
        read_tasks(path)


class Server(BaseHTTPRequestHandler):
    """Says what it was asked."""

    def do_GET(self) -> None:
        self.reply({"object": "list", "data": [{"id": "m", "object": "model"}]})

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if asked["model"] != "m":
            self.reply({"error": {"message": "no such model"}}, status=404)
            return
        text = json.dumps({"seed": asked["seed"], "stop": asked["stop"]})
        chat = {"message": {"role": "assistant", "content": "chat " + text}, "index": 0}
        choice = chat if "messages" in asked else {"text": text, "index": 0}
        self.reply({"id": "1", "object": "o", "choices": [{**choice, "finish_reason": "length"}]})

    def reply(self, body: dict[str, Any], status: int = 200) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def test_a_server_is_asked() -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}/v1"
    try:
        asked = [Question(number, Prompt("Go", ("\n",)), 8, 0.5) for number in (3, 4)]
        for form, begin in (("completion", ""), ("chat", "chat ")):
            generator = ServedGenerator(address, model=None, form=form, top_p=1.0, seed=10)  # type: ignore[arg-type]
            answers = {question.number: answer for question, answer in generator.answers(asked)}
            for number in (3, 4):
                said = begin + json.dumps({"seed": 10 + number, "stop": ["\n"]})
                assert answers[number] == Answer(said, cut=True)
        wrong = ServedGenerator(address, model="other", form="chat", top_p=1.0, seed=0)
        with pytest.raises(ServerError, match="no such model"):
            list(wrong.answers(asked))
    finally:
        server.shutdown()
        server.server_close()
