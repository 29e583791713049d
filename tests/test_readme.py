"""What the READMEs print runs as printed, and both say the same."""

import json
import re
import shlex
from importlib import import_module
from pathlib import Path

import pytest

from shizuku import cli
from tiny_language_model import tiny_lm

ROOT = Path(__file__).resolve().parents[1]
ENGLISH, JAPANESE = ((ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "README.ja.md"))
MODEL = '"smollm2-135m-instruct"'


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page, flags=re.DOTALL | re.MULTILINE)


def uncommented(block: str) -> list[str]:
    return [re.sub(r"\s+#.*", "", line) for line in block.splitlines()]


def tree(page: str) -> list[str]:
    """The names in the annotated tree."""
    entries = re.findall(r"^[├└]── ((?:[\w.]+(?:/|\.py) ?)+)", page, flags=re.MULTILINE)
    return [word.strip("/") for entry in entries for word in entry.split()]


def printed() -> list[list[str]]:
    """The words of every `shizuku` command that the README prints."""
    lines = [line for block in blocks(ENGLISH, "bash") for line in block.splitlines()]
    commands = [part for line in lines for part in line.split("&&") if part.strip().startswith("shizuku")]
    return [shlex.split(command, comments=True)[1:] for command in commands]


def test_both_languages_print_the_same_code_tree_and_links() -> None:
    for language in ("bash", "python"):
        ours, theirs = (list(map(uncommented, blocks(page, language))) for page in (ENGLISH, JAPANESE))
        translated = [[line.replace("朝になると", "In the morning") for line in block] for block in theirs]
        assert ours and ours == translated
    assert tree(ENGLISH) == tree(JAPANESE)
    links = [set(re.findall(r"\]\(([\w./-]+)\)", page)) for page in (ENGLISH, JAPANESE)]
    assert links[0] - {"README.ja.md"} == links[1] - {"README.md"}
    assert all((ROOT / link).is_file() for link in links[0])


def test_the_tree_is_the_one_that_is_there() -> None:
    there = {entry.name for entry in (ROOT / "src" / "shizuku").iterdir() if entry.name[0] not in "_."}
    assert set(tree(ENGLISH)) == there - {"py.typed"}


def test_every_printed_command_is_understood() -> None:
    commands = printed()
    assert len(commands) > 7
    for words in commands:
        verb = cli.find_verb(words)
        assert verb is not None, words
        config = import_module("shizuku.commands." + verb.replace(" ", "_").replace("-", "_")).Config
        cli.parse(config, verb, words[len(verb.split()) :])


def test_the_python_that_is_printed_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As printed, but for the model: a small one, so that it takes a second."""
    monkeypatch.chdir(tmp_path)
    tiny_lm().save("model")
    (code,) = blocks(ENGLISH, "python")
    assert code.count(MODEL) == 1
    names: dict[str, object] = {}
    exec(compile(code.replace(MODEL, '"model"'), "README.md", "exec"), names)  # noqa: S102
    assert names["lm"].path == Path("model")  # type: ignore[attr-defined]


def test_the_commands_that_are_printed_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As printed, but for a smaller training; what takes minutes or the network is run elsewhere."""
    monkeypatch.chdir(tmp_path)
    tiny_lm().save("life/model")
    for folder in ("my-notes", "other-notes"):
        Path(folder).mkdir()
        Path(folder, "a.txt").write_text("It rained in the town, and the baker opened late. " * 200)
        Path(folder, "b.txt").write_text("The ferry came at noon; nobody was on it but a dog. " * 60)
    Path("play.txt").write_text("It rained in the town, and the baker opened late.\n" * 200)
    turns = [{"role": "user", "content": "Who opened late?"}, {"role": "assistant", "content": "The baker."}]
    Path("chats.jsonl").write_text((json.dumps({"messages": turns}) + "\n") * 12)
    asked = [f"Who opened at {hour}?" for hour in range(12)]
    pairs = [{"prompt": one, "chosen": "The baker.", "rejected": "Nobody."} for one in asked]
    Path("pairs.jsonl").write_text("\n".join(map(json.dumps, pairs)))
    Path("labelled.csv").write_text("text,label\n" + "It rained.,wet\nThe sun shone.,dry\n" * 12)
    Path("sentences.ja").write_text("町 に 雨 が 降った 。\n" * 3, encoding="utf-8")
    Path("sentences.en").write_text("it rained in the town .\n" * 3)
    Path("train.de").write_text("Es regnete in der Stadt.\nDer Bäcker öffnete spät.\n" * 20, encoding="utf-8")
    Path("train.en").write_text("It rained in the town.\nThe baker opened late.\n" * 20)
    small = ["--preset", "micro", "--vocab-size", "300", "--model.context", "32"]
    ran = []
    for words in printed():
        if words[0] in ("chat", "life", "serve", "bench", "data"):
            continue
        # The model of the test is not packed, as the pretrained one is.
        others = {"500": "2", "smollm2-135m-instruct": "life/model", "packed": "float"}
        words = [others.get(word, word) for word in words]
        if "ngram" in words:
            words += ["--vocab-size", "300"]
        elif words[0] == "train":
            words += [] if "--preset" in words else small
            words += [] if "--steps" in words else ["--steps", "2"]
            words += ["--vocab-size", "280"] if "--source" in words else []
        elif words[0] in ("tune", "reward", "align", "classify"):
            words += ["--steps", "2"]
        assert cli.run(words) == 0, capsys.readouterr().err
        ran.append(words[0])
    learned = ["tune", "tune", "merge", "reward", "align", "classify", "word-align"]
    measured = ["attention", "quantize", "generate", "export"]
    made = ["train"] * 2 + ["translate"]
    assert ran == ["train", "train", "train", "eval", *learned[:-1], *made, learned[-1], *measured]
    assert Path("life.gguf").stat().st_size > 0
