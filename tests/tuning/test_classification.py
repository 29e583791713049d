"""`shizuku classify`: reading, training, labelling, prompting, and labels for texts that have none."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

from shizuku.adapters.config import AdapterConfig
from shizuku.checkpoints.directory import save_checkpoint
from shizuku.checkpoints.headed import save_headed
from shizuku.cli import main
from shizuku.errors import CheckpointError, ConfigError, DocumentError
from shizuku.evaluation.classification import judge_labels, macro_f1
from shizuku.models.encoder import Encoder, EncoderConfig, initialise
from shizuku.models.heads import HeadedDecoder
from shizuku.text.problems import Problems
from shizuku.text.tokenizer import Tokenizer
from shizuku.training.batches import on_device
from shizuku.training.config import LoopConfig, OptimizerConfig
from shizuku.training.step import accumulate_gradients
from shizuku.tuning.classification.classifier import Classifier
from shizuku.tuning.classification.config import ClassifyConfig
from shizuku.tuning.classification.encoding import text_ids
from shizuku.tuning.classification.labelled import Labelled, read_labelled, split_labelled
from shizuku.tuning.classification.objective import Labels
from shizuku.tuning.classification.prompting import prompted_labels, shots
from shizuku.tuning.classification.training import sure_ones, train_classifier
from shizuku.tuning.head_rows import read_at_end
from shizuku.tuning.reward_config import head_loop
from shizuku.tuning.rows import HeldoutRows
from tiny_language_model import bare_tokenizer, tiny_lm, tiny_model, tokenizer

WORDS = ("rain", "boat", "lake", "shop", "sea", "baker", "mat", "cat")


def rows(number: int, *, seed: int = 0) -> list[dict]:
    """Texts whose label is what they say most often of boat, shop and cat."""
    random = np.random.default_rng(seed)
    found = []
    for at in range(number):
        label = ("boat", "shop", "cat")[at % 3]
        words = [*random.choice(WORDS, 4), label, label, label]
        random.shuffle(words)
        if max(words.count(other) for other in ("boat", "shop", "cat") if other != label) < 3:
            found.append({"text": " ".join(words), "label": label})
    return found


@pytest.fixture
def base(tmp_path):
    return save_checkpoint(tmp_path / "base", model=tiny_model(tokenizer().vocab_size), tokenizer=tokenizer())


@pytest.fixture
def texts(tmp_path):
    path = tmp_path / "texts.jsonl"
    path.write_text("\n".join(map(json.dumps, rows(240))), encoding="utf-8")
    return path


def loop(rate: float = 0.01, **changes: object) -> LoopConfig:
    plain = head_loop()
    values = {name: getattr(plain, name) for name in plain.__dataclass_fields__}
    optimizer = OptimizerConfig(
        kind="adamw", learning_rate=rate, embedding_learning_rate=None, weight_decay=0.0
    )
    return LoopConfig(**{**values, "optimizer": optimizer, **changes})


# ---- reading


def test_columns_are_found_out_in_tables_and_json(tmp_path: Path) -> None:
    table = tmp_path / "a.csv"
    table.write_text('id,class,tweet\n1,2,"a, ""quoted""\nline"\n2,10,b\n3,,c\n4,2,\n', encoding="utf-8")
    problems = Problems()
    read = read_labelled([table], problems=problems)
    assert read.items == [Labelled('a, "quoted"\nline', "2"), Labelled("b", "10")]
    assert read.labels == ("2", "10") and read.columns == ("tweet", "class")
    assert dict(problems.counts) == {"no label": 1, "no text": 1}
    lines = tmp_path / "b.jsonl"
    lines.write_text('{"Sentence": "x", "Label": true}\n{"Sentence": "y", "Label": 0}\n', encoding="utf-8")
    assert read_labelled([lines]).items == [Labelled("x", "True"), Labelled("y", "0")]
    assert read_labelled([lines], labelled=False).items == [Labelled("x", ""), Labelled("y", "")]
    with pytest.raises(DocumentError, match=r"no column that is known to hold a label.*id, class.*--label"):
        read_labelled([_without(tmp_path, "class")])
    with pytest.raises(DocumentError, match=r"no column nothing; there are id, class, tweet"):
        read_labelled([table], text_column="nothing")
    with pytest.raises(DocumentError, match="does not exist or is a folder"):
        read_labelled([tmp_path / "none.csv"])
    (tmp_path / "a.txt").touch()
    with pytest.raises(DocumentError, match=r"expected \.csv, \.tsv, \.jsonl"):
        read_labelled([tmp_path / "a.txt"])


def _without(folder: Path, name: str) -> Path:
    path = folder / "c.csv"
    path.write_text("id,class ,tweet\n1,2,a\n", encoding="utf-8")
    return path


def test_the_split_has_the_shares_of_the_labels_and_no_text_twice() -> None:
    items = [Labelled(f"text {at % 300}", "rare" if at % 300 < 30 else "often") for at in range(400)]
    kept, held = split_labelled(items, 0.2, 0)
    assert len(kept) + len(held) == 400
    assert not {item.digest for item in kept} & {item.digest for item in held}
    assert len({item.text for item in held if item.label == "rare"}) == 6
    assert len({item.text for item in held if item.label == "often"}) == 54
    again = split_labelled(items[::-1], 0.2, 0)[1]
    assert {item.text for item in again} == {item.text for item in held}
    assert split_labelled(items, 0.2, 1)[1] != held


# ---- the measures


def test_measures_are_those_of_scikit_learn_and_intervals_hold_them() -> None:
    truth, given = list("aabbbbccca"), list("abbbbaccab")
    found = judge_labels(truth, given, "abc", confidence=np.linspace(0.4, 0.99, 10))
    assert found.accuracy.mean == 0.6 and found.confusion_CC.tolist() == [[1, 2, 0], [1, 3, 0], [1, 0, 2]]
    f1 = [2 * 1 / (3 + 3), 2 * 3 / (4 + 5), 2 * 2 / (3 + 2)]
    assert found.macro_f1.mean == pytest.approx(np.mean(f1))
    assert found.macro_f1.low < found.macro_f1.mean < found.macro_f1.high
    assert macro_f1(np.array([[3, 0, 0], [0, 2, 0], [0, 0, 0]])) == 1.0  # a label that never occurs
    assert sum(each.items for each in found.bins) == 10


# ---- training


def test_the_loss_is_cross_entropy_over_texts_however_they_are_packed() -> None:
    model = HeadedDecoder(tiny_model(), 3)
    torch.nn.init.normal_(model.head.weight, generator=torch.Generator().manual_seed(1))
    texts = [[5, 9, 30], [7], [11, 12, 13, 14, 15], [40, 41]]
    labels = [2, 0, 1, 1]
    with torch.no_grad():
        logits = [model(torch.tensor([ids]))[0, -1] for ids in texts]
        alone = [one.log_softmax(-1)[label] for one, label in zip(logits, labels, strict=True)]
    packed = HeldoutRows(
        [read_at_end(ids, label) for ids, label in zip(texts, labels, strict=True)], context=8, batch_size=2
    )
    batches = [on_device(batch, torch.device("cpu")) for batch in packed]
    step = accumulate_gradients(model, Labels(), batches)
    assert step.loss == pytest.approx(-float(torch.stack(alone).mean()), rel=1e-5)


def test_a_classifier_learns_labels_files_and_opens_in_transformers(base, texts, tmp_path, capsys) -> None:
    out = tmp_path / "labels"
    more = tmp_path / "more.csv"
    more.write_text("text\n" + "\n".join(row["text"] for row in rows(30, seed=4)), encoding="utf-8")
    command = ["classify", str(base), "--data", str(texts), "--out", str(out), "--json", "--epochs", "10"]
    command += ["--loop.optimizer.learning-rate", "0.01", "--predict", str(more), "--validation", "0.2"]
    with pytest.raises(SystemExit) as ended:
        main(command)
    assert not ended.value.code
    result = json.loads(capsys.readouterr().out)
    low, high = result["accuracy_interval"]
    assert low <= result["accuracy"] <= high and result["accuracy"] > 0.85
    assert result["labels"] == ["boat", "cat", "shop"] and result["macro_f1"] > 0.8
    assert "given" in (out / "report.html").read_text(encoding="utf-8")
    lines = [json.loads(line) for line in (out / "predictions.jsonl").read_text().splitlines()]
    truth = [row["label"] for row in rows(30, seed=4)]
    assert np.mean([line["label"] == label for line, label in zip(lines, truth, strict=True)]) > 0.8
    pipeline = transformers.pipeline("text-classification", model=str(out))
    for line in lines[:4]:
        theirs = pipeline(line["text"])[0]
        assert theirs["label"] == line["label"]
        assert theirs["score"] == pytest.approx(line["probabilities"][line["label"]], abs=1e-4)
    with pytest.raises(SystemExit) as ended:
        main(["classify", str(out), "--predict", str(more), "--out", str(tmp_path / "again"), "--json"])
    assert not ended.value.code
    assert json.loads(capsys.readouterr().out)["texts"] == len(lines)


def test_resumed_is_as_uninterrupted_also_with_an_adapter(base, texts, tmp_path) -> None:
    def run(out: str, **changes: object) -> dict:
        config = ClassifyConfig(
            model=str(base), data=(texts,), out=tmp_path / out, report=False, lora=AdapterConfig(rank=3),
            loop=loop(**changes),
        )  # fmt: skip
        return train_classifier(config).to_json()

    whole = run("whole", steps=6, evaluate_every=2)
    calls = 0

    def stop(record: dict) -> None:
        nonlocal calls
        calls += 1
        if calls == 4:
            raise KeyboardInterrupt

    import shizuku.tuning.classification.training as training

    plain = training.train
    training.train = lambda *args, **more: plain(*args, **more, on_log=stop)  # type: ignore[assignment]
    try:
        with pytest.raises(KeyboardInterrupt):
            run("parts", steps=6, evaluate_every=2, save_every=3)
    finally:
        training.train = plain
    parts = run("parts", steps=6, evaluate_every=2, save_every=3, resume=True)
    for name in ("loss", "validation_loss", "accuracy", "kept_step"):
        assert parts[name] == whole[name]


def test_unlabelled_texts_of_which_the_first_classifier_is_sure_are_learned_from(base, tmp_path) -> None:
    few, many = tmp_path / "few.jsonl", tmp_path / "many.jsonl"
    few.write_text("\n".join(map(json.dumps, rows(60))), encoding="utf-8")
    unlabelled = rows(90, seed=8)
    many.write_text("\n".join(json.dumps({"text": row["text"]}) for row in unlabelled), encoding="utf-8")
    config = ClassifyConfig(
        model=str(base), data=(few,), unlabelled=(many,), out=tmp_path / "out", report=False, epochs=8,
        confidence=0.7, loop=loop(),
    )  # fmt: skip
    result = train_classifier(config)
    teacher = Classifier.load(tmp_path / "out" / "teacher")
    sure = sure_ones(teacher, [row["text"] for row in unlabelled], 0.7)
    assert 0 < result.pseudo == len(sure) <= 90
    truth = {row["text"]: row["label"] for row in unlabelled}
    assert np.mean([truth[each.text] == each.label for each in sure]) > 0.6
    assert result.heldout > 0 and result.examples > 50


@pytest.mark.parametrize(
    ("records", "message"),
    [
        ([{"text": "a", "label": 1}] * 3, "all texts have the label '1'"),
        ([{"text": f"t{n}", "label": f"l{n}"} for n in range(1001)], "is label the column of the label"),
    ],
)
def test_labels_that_make_no_classifier_are_refused(records, message, base, tmp_path) -> None:
    path = tmp_path / "texts.jsonl"
    path.write_text("\n".join(map(json.dumps, records)), encoding="utf-8")
    with pytest.raises(DocumentError, match=message):
        train_classifier(ClassifyConfig(model=str(base), data=(path,), out=tmp_path / "out", report=False))


def test_many_short_texts_in_a_row_are_judged_as_often_as_their_rows_allow(base, tmp_path) -> None:
    records = [{"text": f"{'good' if n % 2 else 'bad'} {n}", "label": n % 2} for n in range(400)]
    path = tmp_path / "texts.jsonl"
    path.write_text("\n".join(map(json.dumps, records)), encoding="utf-8")
    config = ClassifyConfig(model=str(base), data=(path,), out=tmp_path / "out", report=False, epochs=4)
    result = train_classifier(config)
    judged = [one for one in result.training.history if "validation_loss" in one]
    assert result.heldout > 20 and len(judged) > 3


def test_texts_without_a_token_are_counted_and_left_out(tmp_path, capsys) -> None:
    base = encoder(tmp_path / "base")
    some = [*rows(40), {"text": "\u200b", "label": rows(1)[0]["label"]}]
    path = tmp_path / "texts.jsonl"
    path.write_text("\n".join(map(json.dumps, some)), encoding="utf-8")
    config = ClassifyConfig(
        model=str(base), data=(path,), out=tmp_path / "out", report=False, validation=0, batch_size=1,
        loop=replace(loop(1e-3), steps=1),
    )  # fmt: skip
    assert train_classifier(config).examples == len(some) - 1
    assert "a text without any token" in capsys.readouterr().err


def test_work_that_makes_no_sense_is_refused(base, texts, tmp_path, capsys) -> None:
    for flags, message in (
        ([], "give --data"),
        (["--unlabelled", str(texts)], "give --data"),
        (["--predict", str(texts)], "without a head"),
        (["--data", str(texts), "--confidence", "1.2"], "--confidence"),
        (["--predict", str(texts), "--dry-run"], "--dry-run foretells training"),
        (["--data", str(texts), "--loop.parallel", "fsdp"], "runs in one process"),
    ):
        with pytest.raises(SystemExit) as ended:
            main(["classify", str(base), "--out", str(tmp_path / "out"), *flags])
        assert ended.value.code == 2
        assert message in capsys.readouterr().err
    one = save_headed(tmp_path / "one", model=HeadedDecoder(tiny_model(), 1), tokenizer=tokenizer())
    with pytest.raises(CheckpointError, match="a reward model"):
        Classifier.load(one)
    with pytest.raises(ConfigError, match="without any token"):
        text_ids(bare_tokenizer(), "")


# ---- prompting


def test_prompting_takes_the_word_that_the_model_finds_most_probable() -> None:
    lm = tiny_lm(context=256)
    words = {"0": "rain", "1": "boat on the lake"}
    shown = shots([Labelled("a cat", "0"), Labelled("a mat", "1"), Labelled("more", "0")], list(words), 1)
    assert [item.label for item in shown] == ["0", "1"]
    found = prompted_labels(lm, ["the sea", "the shop"], words, examples=shown, instruction="Say which.")
    prompt = "Say which.\n\nText: a cat\nLabel: rain\n\nText: a mat\nLabel: boat on the lake\n\n"
    for text, row in zip(("the sea", "the shop"), found.probabilities_NC, strict=True):
        context = lm.tokenizer.encode(f"{prompt}Text: {text}\nLabel:")
        chances = []
        for word in words.values():
            ids = [lm.tokenizer.document_start_id, *context, *lm.tokenizer.encode(f" {word}")]
            logp = torch.from_numpy(lm.logits(ids)).log_softmax(-1)
            start = 1 + len(context)
            chances.append(math.exp(sum(float(logp[at - 1, ids[at]]) for at in range(start, len(ids)))))
        assert row == pytest.approx([each / sum(chances) for each in chances], rel=1e-3)
    with pytest.raises(ConfigError, match="fewer than 2 texts with the label '0'"):
        shots(shown, list(words), 2)
    with pytest.raises(ConfigError, match="a word for each"):
        prompted_labels(lm, ["x"], {"0": "a"}, examples=shown)


def encoder(path: Path) -> Path:
    """A small BERT with words of its own."""
    wordpiece = Tokenizer.train([row["text"] for row in rows(240)], 39, kind="wordpiece")
    sizes = {"context": 40, "width": 32, "layers": 2, "heads": 2, "ffn_width": 64}
    model = Encoder(EncoderConfig(vocab_size=wordpiece.vocab_size, **sizes))
    initialise(model, 0)
    return save_checkpoint(path, model=model, tokenizer=wordpiece)


def test_an_encoder_is_read_at_its_first_token_as_in_transformers(tmp_path, texts):
    base = encoder(tmp_path / "base")
    config = ClassifyConfig(
        model=str(base), data=(texts,), out=tmp_path / "out", epochs=8, batch_size=1, report=False,
        loop=loop(3e-3),
    )  # fmt: skip
    result = train_classifier(config)
    assert result.judgement.accuracy.mean > 0.8
    classifier = Classifier.load(tmp_path / "out")
    some = [row["text"] for row in rows(30, seed=1)] + ["boat", "cat shop " * 30]
    found = classifier.predict(some).probabilities_NC
    model = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "out").eval()
    assert type(model).__name__ == "BertForSequenceClassification"
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    for text, row in zip(some, found, strict=True):
        given = theirs(text, return_tensors="pt", truncation=True, max_length=40)
        with torch.no_grad():
            np.testing.assert_allclose(model(**given).logits[0].softmax(-1).numpy(), row, atol=1e-5)
    with pytest.raises(ConfigError, match="is an encoder"):
        train_classifier(replace(config, out=tmp_path / "lora", lora=AdapterConfig(rank=2)))
