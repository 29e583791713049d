"""From two files to a translator, as a user types it; and what goes wrong, said."""

import gzip
import io
import json
import os
import random
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import shizuku
from shizuku import cli
from shizuku.checkpoints.huggingface import read_json
from shizuku.errors import CheckpointError, ConfigError, ModelError
from shizuku.text.tokenizer import Tokenizer
from shizuku.training import loop
from shizuku.training.step import StepLoss
from shizuku.translation import END, Translator

WORDS = {"der": "the", "ein": "a", "Hund": "dog", "Mann": "man", "Kind": "child", "sieht": "sees"}
WORDS |= {"jagt": "chases", "den": "the", "einen": "a", "alten": "old", "kleinen": "small", "Ball": "ball"}


def sentences(count: int, seed: int = 0) -> list[str]:
    chooser = random.Random(seed)
    made = []
    for _ in range(count):
        subject = [chooser.choice(["der", "ein"]), chooser.choice(["Hund", "Mann", "Kind"])]
        verb = [chooser.choice(["sieht", "jagt"]), chooser.choice(["den", "einen"])]
        between = [chooser.choice(["alten", "kleinen"])] if chooser.random() < 0.5 else []
        made.append(" ".join([*subject, *verb, *between, chooser.choice(["Ball", "Hund", "Mann"])]))
    return made


def translated(text: str) -> str:
    return " ".join(WORDS[word] for word in text.split())


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """source.de (packed) and target.en of a made-up language."""
    folder = tmp_path_factory.mktemp("pairs")
    lines = sentences(400)
    (folder / "source.de.gz").write_bytes(gzip.compress(("\n".join(lines) + "\n").encode()))
    (folder / "target.en").write_text("\n".join(map(translated, lines)) + "\n", encoding="utf-8")
    return folder


def words(folder: Path, out: Path, *more: object) -> list[str]:
    line = ["train", "--source", folder / "source.de.gz", "--target", folder / "target.en", "--out", out]
    line += ["--preset", "micro", "--vocab-size", "300", "--threads", "1", "--validation", "0.1"]
    line += ["--pairs.batch-tokens", "512", "--loop.dropout", "0", *more]
    return [str(word) for word in line]


ARCHITECTURES = ("encoder-decoder", "lstm-seq2seq")


@pytest.fixture(scope="module")
def trained(files: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A model of each architecture that has learned the language."""
    found = {}
    for name in ARCHITECTURES:
        out = tmp_path_factory.mktemp(name) / "model"
        # The rate that comes with encoder-decoders is for thousands of pairs, not for a minute's language.
        how = ["70", "--loop.optimizer.muon-learning-rate", "0.04"] if name == "encoder-decoder" else ["110"]
        assert cli.run(words(files, out, "--architecture", name, "--json", "--steps", *how)) == 0
        found[name] = out
    return found


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_it_learns_and_translates_what_it_has_not_seen(trained: dict[str, Path], name: str, capsys) -> None:
    translator = shizuku.load(trained[name])
    assert isinstance(translator, Translator) and "translate" in translator.capabilities
    test = list(dict.fromkeys(sentences(24, seed=1)))
    found = translator.translate(test)
    right = sum(one == translated(text) for one, text in zip(found, test, strict=True))
    assert right >= 0.9 * len(test)
    assert translator.translate(test[0]) == found[0] and translator.translate([]) == []
    assert translator.translate(test, batch_size=3, beams=1) == [
        translator.translate(t, beams=1) for t in test
    ]
    run = read_json(trained[name] / "run.json")
    assert run["data"]["train"]["sentences"] + run["data"]["heldout"]["sentences"] == 400
    assert read_json(trained[name] / "config.json")["model_type"] == f"shizuku-{name}"


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_scores_are_those_of_pairs_alone_and_prefer_the_right_one(
    trained: dict[str, Path], name: str
) -> None:
    translator = Translator.load(trained[name])
    source = ["der Hund jagt den Ball", "ein Kind sieht einen alten Mann", "der Mann sieht den Hund"]
    right = translator.score([translated(text) for text in source], source)
    wrong = translator.score([translated(text) for text in source[::-1]], source)
    for text, one, other in zip(source, right, wrong, strict=True):
        alone = translator.score([translated(text)], [text])[0]
        assert np.allclose(one.token_logprobs, alone.token_logprobs, atol=1e-4)
        assert one.token_ids == alone.token_ids and len(one.token_ids) == len(one.token_logprobs)
        if text != source[1]:
            assert one.logprob > other.logprob + 1
    best = translator.hypotheses([source[0]], beams=3)[0][0]
    said = translator.score([translator.tokenizer.decode(best.ids)], [source[0]])[0]
    assert said.logprob == pytest.approx(best.logprob, abs=1e-3)


def test_where_it_looks_is_told_by_word(trained: dict[str, Path], tmp_path: Path, capsys) -> None:
    text = "der Hund jagt den kleinen Ball"
    for name in ARCHITECTURES:
        looks = Translator.load(trained[name]).attention(text)
        assert looks.source == (*text.split(), END) and looks.target == (*translated(text).split(), END)
        assert np.allclose(looks.weights_TS.sum(1), 1, atol=1e-4)
    for suffix in ("html", "svg", "png"):
        picture = tmp_path / f"looks.{suffix}"
        assert cli.run(["translate", str(trained["lstm-seq2seq"]), text, "--attention", str(picture)]) == 0
        assert picture.stat().st_size > 500
    assert capsys.readouterr().out.splitlines() == [translated(text)] * 3
    with pytest.raises(ConfigError, match="layers 0 to 1"):
        Translator.load(trained["encoder-decoder"]).attention(text, layer=2)


def test_lines_stay_lines(trained: dict[str, Path], tmp_path: Path, capsys) -> None:
    test = tmp_path / "test.de"
    test.write_text("der Hund jagt den Ball\n\nein Mann sieht den Hund\n", encoding="utf-8")
    where = str(trained["encoder-decoder"])
    assert cli.run(["translate", where, "--text", str(test), "--beams", "2", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["translations"] == ["the dog chases the ball", "", "a man sees the dog"]
    assert result["logprobs"][1] is None and result["logprobs"][0] < 0 and result["finish"][0] == "stop"


def test_lines_of_the_standard_input_are_those_of_a_file(
    trained: dict[str, Path], tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "\ufeffder Hund jagt den Ball\nein Mann\u2028sieht den Hund\r\n"
    (tmp_path / "text.de").write_text(text, encoding="utf-8", newline="")
    where, found = str(trained["encoder-decoder"]), []
    monkeypatch.setattr("sys.stdin", io.StringIO(text))
    for more in ([], ["--text", str(tmp_path / "text.de")]):
        assert cli.run(["translate", where, *more, "--beams", "1", "--json"]) == 0
        found.append(json.loads(capsys.readouterr().out)["translations"])
    assert found[0] == found[1] and len(found[0]) == 2 and found[0][0] == "the dog chases the ball"
    monkeypatch.chdir(tmp_path)
    assert cli.run(["translate", where, "text.de", "--beams", "1"]) == 0
    assert "--text text.de" in capsys.readouterr().err


def test_one_line_too_long_costs_that_line(trained: dict[str, Path], tmp_path: Path, capsys) -> None:
    lines = ["der Hund jagt den Ball", "der Hund " * 80, "ein Mann sieht den Hund"]
    (tmp_path / "s").write_text("\n".join(lines), encoding="utf-8")
    (tmp_path / "t").write_text("\n".join(map(translated, lines)), encoding="utf-8")
    where = str(trained["encoder-decoder"])
    assert cli.run(["translate", where, "--text", str(tmp_path / "s"), "--json"]) == 0
    said = capsys.readouterr()
    assert "left untranslated: line 2, longer than" in said.err
    assert [bool(text) for text in json.loads(said.out)["translations"]] == [True, False, True]
    assert cli.run(["translate", where, lines[1]]) == 2 and "window is 64" in capsys.readouterr().err
    pairs = ["--source", str(tmp_path / "s"), "--target", str(tmp_path / "t")]
    assert cli.run(["eval", where, *pairs, "--json"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["pairs"] == 2 and "longer than the window" in said.err
    assert cli.run(["eval", where, *pairs, "--window", "16", "--runtime", "native"]) == 2
    assert "--window, --runtime: for models that are measured on --text" in capsys.readouterr().err


def test_a_picture_that_cannot_be_drawn_is_refused_before_the_work(
    trained: dict[str, Path], capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    from shizuku.inference import beams

    monkeypatch.setattr(beams, "search", lambda *given, **more: pytest.fail("it was translated first"))
    place = trained[ARCHITECTURES[0]]
    assert cli.run(["translate", str(place), "red", "--attention", "x.html", "--layer", "9"]) == 2
    assert "--layer 9" in capsys.readouterr().err


def test_bleu_is_sacrebleus(trained: dict[str, Path], files: Path, tmp_path: Path, capsys) -> None:
    sacrebleu = pytest.importorskip("sacrebleu")
    lines = sentences(30, seed=2)
    references = [translated(line) for line in lines]
    references[0] = "something else altogether , it seems"
    for name, some in (("s", lines), ("t", references)):
        (tmp_path / name).write_text("\n".join(some) + "\n", encoding="utf-8")
    where = trained["encoder-decoder"]
    files_of = ["--source", str(tmp_path / "s"), "--target", str(tmp_path / "t")]
    assert cli.run(["eval", str(where), *files_of, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    expected = sacrebleu.corpus_bleu(Translator.load(where).translate(lines), [references])
    assert result["bleu"] == pytest.approx(expected.score) and 50 < result["bleu"] < 100
    assert result["signature"].startswith("nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:")
    scores = Translator.load(where).score(references, lines)
    nats = -sum(one.logprob for one in scores) / sum(len(one.token_ids) for one in scores)
    assert result["nats_per_token"] == pytest.approx(nats, rel=1e-4)
    assert cli.run(["eval", str(where), *files_of[:2]]) == 2
    assert "both or neither" in capsys.readouterr().err


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_resumed_run_is_the_uninterrupted_one(
    name: str, files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = [
        "--architecture",
        name,
        "--loop.dropout",
        "0.2",
        "--loop.log-every",
        "1",
        "--steps",
        "5",
        "--resume",
    ]
    assert cli.run(words(files, tmp_path / "whole", *line)) == 0
    step = loop._Training.step

    def interrupted(self: Any) -> StepLoss:
        found = step(self)
        if self.progress.step == 3:
            os.kill(os.getpid(), signal.SIGINT)
        return found

    with monkeypatch.context() as patch:
        patch.setattr(loop._Training, "step", interrupted)
        with pytest.raises(KeyboardInterrupt):
            cli.run(words(files, tmp_path / "resumed", *line))
    assert cli.run(words(files, tmp_path / "resumed", *line)) == 0
    records = [(tmp_path / one / "metrics.jsonl").read_text().splitlines() for one in ("whole", "resumed")]
    whole, resumed = ([json.loads(one)["loss"] for one in some] for some in records)
    assert whole == resumed and len(whole) == 5


REFUSED: list[tuple[list[str], str]] = [
    (["--architecture", "decoder"], "learns from --text"),
    (["--architecture", "ngram"], "learns from --text"),
    (["--architecture", "encoder-decoder", "--batch-size", "2"], "as large as --pairs.batch-tokens says"),
    (["--architecture", "encoder-decoder", "--text", "x"], "the one or the other"),
    (["--architecture", "encoder-decoder", "--validation-source", "x"], "both or neither"),
    (["--architecture", "lstm-seq2seq", "--model.heads", "2"], "--model.heads"),
    (["--architecture", "encoder-decoder", "--model.heads", "5"], "heads 5"),
    (["--architecture", "encoder-decoder", "--setting", "encoder_depth=2"], "--setting encoder-depth"),
    (["--architecture", "lstm-seq2seq", "--setting", "attention=dot"], "attention"),
    (["--architecture", "encoder-decoder", "--loop.parallel", "fsdp"], "--loop.parallel fsdp"),
    (["--architecture", "encoder-decoder", "--model.context", "2"], "no pair is left"),
    (["--architecture", "encoder-decoder", "--vocab-size", "9000"], "--vocab-size"),
    (["--architecture", "encoder-decoder", "--pairs.label-smoothing", "1"], "label-smoothing"),
    (["--architecture", "encoder-decoder", "--preset", "gpt2-small"], "presets of"),
]


@pytest.mark.parametrize("more, match", REFUSED)
def test_settings_that_do_not_fit_are_named(
    more: list[str], match: str, files: Path, tmp_path: Path, capsys
) -> None:
    try:
        code: Any = cli.run(words(files, tmp_path / "out", *more))
    except SystemExit as error:  # what the parser of flags itself refuses
        code = error.code
    assert code == 2 and match in " ".join(capsys.readouterr().err.replace("│", " ").split())


@pytest.mark.parametrize(
    "source, target, match",
    [
        ("", "a\n", "it is empty"),
        ("a\nb\n", "a\n", "2 lines and"),
        ("\n\n", "a\nb\n", "it is empty"),
        ("a\n\n", "\nb\n", "words on both sides"),
        ("Hund\n", "dog\n", "--vocab-size"),
    ],
)
def test_bad_pairs_are_named(source: str, target: str, match: str, tmp_path: Path, capsys) -> None:
    for name, text in (("s", source), ("t", target)):
        (tmp_path / name).write_text(text, encoding="utf-8")
    line = ["train", "--architecture", "encoder-decoder", "--preset", "micro", "--out", tmp_path / "out"]
    line += ["--source", tmp_path / "s", "--target", tmp_path / "t"]
    assert cli.run(list(map(str, line))) == 2
    assert match in " ".join(capsys.readouterr().err.split())


def test_one_word_is_enough_to_learn_from(tmp_path: Path, capsys) -> None:
    for name, text in (("s", "Hund\n"), ("t", "dog\n")):
        (tmp_path / name).write_text(text, encoding="utf-8")
    line = ["train", "--architecture", "lstm-seq2seq", "--preset", "micro", "--out", tmp_path / "out"]
    line += ["--source", tmp_path / "s", "--target", tmp_path / "t", "--vocabulary", "characters"]
    line += ["--vocab-size", "12", "--steps", "40", "--validation", "0", "--loop.dropout", "0", "--json"]
    assert cli.run(list(map(str, line))) == 0, capsys.readouterr().err
    assert shizuku.load(tmp_path / "out").translate("Hund") == "dog"


def test_what_it_cannot_do_says_what_it_can(trained: dict[str, Path], files: Path, capsys) -> None:
    translator = shizuku.load(trained["lstm-seq2seq"], threads=1)
    for name in ("generate", "chat", "stream", "respond", "logits", "embed"):
        with pytest.raises(ModelError, match="translate"):
            getattr(translator, name)("der Hund")
    with pytest.raises(ModelError, match=r"text 1 has .* window is 64"):
        translator.translate("der Hund " * 80)
    with pytest.raises(ModelError, match="source 1 is empty"):
        translator.score(["a"], [""])
    with pytest.raises(ConfigError, match="2 targets, but 1"):
        translator.score(["a", "b"], ["c"])
    with pytest.raises(ConfigError, match="no setting context"):
        shizuku.load(trained["lstm-seq2seq"], context=8)
    where, text = str(trained["lstm-seq2seq"]), str(files / "text.txt")
    (files / "text.txt").write_text("der Hund\n", encoding="utf-8")
    asked = {
        "cannot read a text that stands alone": [
            ["generate", where, "--prompt", "x"], ["chat", where], ["eval", where, "--text", text],
            ["attention", where, "--text", "der Hund"], ["bench", where],
        ],
        "continues no text": [["quantize", where, "--out", str(files / "no")]],
    }  # fmt: skip
    for message, lines in asked.items():
        for line in lines:
            assert cli.run(line) == 2
            said = capsys.readouterr().err
            assert message in said and "--prompt" not in said and "linear layers" not in said
            assert message.startswith("continues") or "(shizuku eval --source FILE --target FILE)" in said


def test_what_cannot_be_a_setting_or_a_text_is_named(trained: dict[str, Path]) -> None:
    translator = shizuku.load(trained["lstm-seq2seq"], threads=1)
    with pytest.raises(ConfigError, match="--beams 99999: expected at most 1000"):
        translator.translate("der Hund", beams=99999)
    with pytest.raises(ConfigError, match="batch_size 0: expected"):
        translator.score(["a"], ["b"], batch_size=0)
    with pytest.raises(ConfigError, match="unknown setting beam; known: beams"):
        translator.hypotheses(["der Hund"], beam=2)
    with pytest.raises(ModelError, match="got int 5"):
        translator.translate(5)
    with pytest.raises(ModelError, match="text 2 is no string: got NoneType None"):
        translator.translate(["der Hund", None])
    with pytest.raises(ModelError, match="target 1 is no string: got int 3"):
        translator.score([3], ["der Hund"])


def test_a_translation_that_was_cut_says_so(trained: dict[str, Path], capsys) -> None:
    line = ["translate", str(trained["lstm-seq2seq"]), "der Hund", "der Hund", "--max-new-tokens", "1"]
    assert cli.run(line) == 0
    said = capsys.readouterr().err
    assert "text 2: its translation was cut at the limit (--max-new-tokens)" in said and "2 texts, " in said


def test_a_tokenizer_without_an_end_is_refused_before_any_pair_is_tokenised(
    files: Path, tmp_path: Path, capsys, monkeypatch
) -> None:
    monkeypatch.setattr("shizuku.training.from_pairs.tokenised", lambda *a, **k: pytest.fail("it was begun"))
    monkeypatch.setattr(Tokenizer, "eos_id", None)
    Tokenizer.train(["der Hund"], None, kind="characters").save(tmp_path / "t")
    line = words(files, tmp_path / "out", "--architecture", "encoder-decoder", "--tokenizer", tmp_path / "t")
    assert cli.run(line) == 2
    assert "--tokenizer: it has no token that ends a sentence" in capsys.readouterr().err


def test_a_dry_run_says_what_it_would_take(files: Path, tmp_path: Path, capsys) -> None:
    for name in ARCHITECTURES:
        line = words(files, tmp_path / "out", "--architecture", name, "--steps", "100", "--dry-run", "--json")
        assert cli.run(line) == 0
        result = json.loads(capsys.readouterr().out)
        assert result["pairs"] == 400 and result["steps"] == 100 and result["flops"] > 0
        assert result["memory_bytes"] > 4 * result["parameters"] and not (tmp_path / "out").exists()


def test_a_tokenizer_of_another_model_is_refused(trained: dict[str, Path], tmp_path: Path) -> None:
    translator = Translator.load(trained["encoder-decoder"])
    from shizuku.text.tokenizer import Tokenizer

    larger = Tokenizer.train(["ab cd ef " + " ".join(sentences(200))] * 9, 301)
    with pytest.raises(ModelError, match="do not belong together"):
        Translator(translator.model, larger)
    saved = translator.save(tmp_path / "saved")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (saved / name).unlink()
    with pytest.raises(CheckpointError):
        shizuku.load(saved)
