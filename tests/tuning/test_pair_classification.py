"""`shizuku classify` on pairs of texts: read, encoded, learned from, and labelled as transformers does."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from torch import nn

from shizuku.checkpoints.directory import save_checkpoint
from shizuku.checkpoints.headed import save_headed
from shizuku.cli import main
from shizuku.errors import ConfigError, DocumentError
from shizuku.models.encoder import Encoder, EncoderConfig, initialise
from shizuku.models.heads import HeadedDecoder
from shizuku.text.framing import fitting
from shizuku.text.problems import Problems
from shizuku.text.tokenizer import Tokenizer
from shizuku.tuning.classification.classifier import Classifier
from shizuku.tuning.classification.config import ClassifyConfig
from shizuku.tuning.classification.encoding import read_text
from shizuku.tuning.classification.labelled import Labelled, read_labelled, split_labelled
from shizuku.tuning.classification.prompting import prompted_labels
from shizuku.tuning.classification.training import train_classifier
from shizuku.tuning.reward_config import head_loop
from tiny_language_model import bare_tokenizer, tiny_lm, tiny_model, tokenizer

WORDS = ("rain", "boat", "lake", "shop", "sea", "baker", "mat", "cat")
CONTEXT = 24


def pairs(number: int, *, seed: int = 0) -> list[dict[str, object]]:
    """Two texts, and which of them has the cat."""
    random = np.random.default_rng(seed)
    found: list[dict[str, object]] = []
    for _ in range(number):
        words = [["cat", *random.choice(WORDS[:5], 2)], random.choice(WORDS[:5], 3)]
        second = int(random.integers(2))
        texts = [" ".join(each) for each in (words[::-1] if second else words)]
        label = ("first", "second")[second]
        found.append({"premise": texts[0], "hypothesis": texts[1], "label": label})
    return found


def written(path: Path, records: list[dict[str, object]]) -> Path:
    path.write_text("\n".join(map(json.dumps, records)), encoding="utf-8")
    return path


def wordpiece() -> Tokenizer:
    return Tokenizer.train([" ".join(WORDS)] * 9, 39, kind="wordpiece")


def encoder(**changed: object) -> Encoder:
    sizes = {"context": CONTEXT, "width": 32, "layers": 2, "heads": 2, "ffn_width": 64}
    config = EncoderConfig(vocab_size=wordpiece().vocab_size, **{**sizes, **changed})
    model = Encoder(config)
    initialise(model, 0)
    return model


def random_head(model: nn.Module, labels: tuple[str, ...] = ("a", "b", "c")) -> HeadedDecoder:
    """A model whose every weight is random at a gain near one, so that tokens, places and types matter."""
    headed = HeadedDecoder(model, len(labels), labels=labels)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, parameter in headed.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if "embedding.weight" in name:
                parameter.copy_(noise)
            elif parameter.dim() == 1:
                parameter.copy_(0.2 * noise + (1 if name.endswith("norm.weight") else 0))
            else:
                gain = 3 if name.startswith("head") else 1
                parameter.copy_(gain * noise / parameter.shape[-1] ** 0.5)
    return headed.eval()


# ---- reading


@pytest.mark.parametrize(
    "names",
    [
        ("text", "text_pair"),
        ("sentence1", "sentence2"),
        ("premise", "hypothesis"),
        ("Question1", "Question2"),
        ("question", "sentence"),
    ],
)
def test_the_columns_of_pairs_are_found_out_and_said(names: tuple[str, str], tmp_path: Path) -> None:
    table = tmp_path / "a.csv"
    table.write_text(f"idx,{names[0]},{names[1]},label\n1,a b,c,0\n2,d,,1\n3,e,f,1\n", encoding="utf-8")
    problems = Problems()
    read = read_labelled([table], problems=problems)
    assert read.items == [Labelled("a b", "0", "c"), Labelled("e", "1", "f")]
    assert read.columns == (names[0], "label") and read.pair_column == names[1]
    assert dict(problems.counts) == {"no second text": 1}
    assert read.say() == f"read 2 pairs of texts (columns {names[0]} and {names[1]}; label: 1 0, 1 1)"
    alone = read_labelled([table], text_column=names[1], problems=Problems())
    assert [item.read for item in alone.items] == ["c", "f"] and alone.pair_column is None
    turned = read_labelled([table], text_column=names[1], pair_column=names[0])
    assert [item.read for item in turned.items] == [("c", "a b"), ("f", "e")]


def test_single_texts_among_pairs_are_an_error(tmp_path: Path) -> None:
    both, one = {"text": "a", "text_pair": "b", "label": 0}, {"text": "c", "label": 1}
    for records in ([both, one], [one, both], [both, {**both, "text_pair": None}]):
        path = written(tmp_path / "texts.jsonl", records)
        with pytest.raises(DocumentError, match=r"jsonl:2.*don't mix.*--text-column text"):
            read_labelled([path])
        assert read_labelled([path], text_column="text").items[0].read in ("a", "c")
    with pytest.raises(DocumentError, match=r"no column nothing; there are text, text_pair, label.*--pair-c"):
        read_labelled([written(tmp_path / "a.jsonl", [both])], pair_column="nothing")
    with pytest.raises(DocumentError, match="name two"):
        read_labelled([tmp_path / "a.jsonl"], text_column="text", pair_column="text")


def test_the_split_and_digests_tell_pairs_by_both_texts() -> None:
    items = [Labelled(f"a {at % 40}", "x", f"b {at % 7}") for at in range(400)]
    kept, held = split_labelled(items, 0.2, 0)
    assert len(kept) + len(held) == 400 and held
    assert not {item.digest for item in kept} & {item.digest for item in held}
    assert Labelled("a", "x", "b").digest != Labelled("b", "x", "a").digest
    assert Labelled("a", "x", "b c").digest != Labelled("a b", "x", "c").digest


# ---- encoding


def test_pairs_are_cut_as_the_tokenizers_library_cuts_them(tmp_path: Path) -> None:
    vocabulary = wordpiece()
    save_checkpoint(tmp_path, model=encoder(), tokenizer=vocabulary)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    for first in (1, 2, 9, 10, 11, 30):
        for second in (1, 3, 10, 11, 12, 31):
            texts = (" ".join(["cat"] * first), " ".join(["sea"] * second))
            found = read_text(vocabulary, texts, window=CONTEXT, whole=True)
            given = theirs(*texts, truncation="longest_first", max_length=CONTEXT)
            assert found.ids == given["input_ids"], (first, second)
            assert given["token_type_ids"] == [int(at >= found.second) for at in range(len(found.ids))]
            assert found.cut == (first + second > CONTEXT - 3)
    loaded = Tokenizer.load(tmp_path)
    save_checkpoint(tmp_path / "decoder", model=tiny_model(loaded.vocab_size), tokenizer=loaded)
    untyped = transformers.AutoTokenizer.from_pretrained(tmp_path / "decoder")
    assert "token_type_ids" not in untyped("cat", "sea")  # a decoder would refuse them
    assert fitting([1] * 5, [2] * 9, 20) == ([1] * 5, [2] * 9)


def test_a_decoder_reads_the_token_that_ends_a_text_between_both(tmp_path: Path) -> None:
    ours = tokenizer()
    found = read_text(ours, ("the cat", "a boat"), window=64)
    expected = [ours.bos_id, *ours.encode("the cat"), ours.eos_id, *ours.encode("a boat")]
    assert found.ids == expected and found.ids[found.second :] == ours.encode("a boat")
    ours.save(tmp_path)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert theirs("the cat<|eos|>a boat")["input_ids"] == found.ids
    assert ours.eos_id not in read_text(ours, ("the <|eos|> cat", "x"), window=64).ids[:5]
    bare = bare_tokenizer()
    plain = read_text(bare, ("the cat", "a boat"), window=64).ids
    assert plain == [*bare.encode("the cat"), *bare.encode("\n"), *bare.encode("a boat")]
    long = read_text(ours, ("cat " * 60, "a boat"), window=32)
    assert (
        len(long.ids) == 32 and long.cut and long.ids[-len(ours.encode("a boat")) :] == ours.encode("a boat")
    )
    for texts, message in ((("a", ""), "no token"), (("a",), "is two texts"), ((1, "a"), "is two texts")):
        with pytest.raises(ConfigError, match=message):
            read_text(ours, texts, window=32)
    with pytest.raises(ConfigError, match=r"--context 3: no room"):
        read_text(ours, ("a", "b"), window=3)


# ---- the classifier


def test_probabilities_of_pairs_are_those_of_transformers(tmp_path: Path) -> None:
    vocabulary, headed = wordpiece(), random_head(encoder())
    save_headed(tmp_path, model=headed, tokenizer=vocabulary)
    some = [(str(row["premise"]), str(row["hypothesis"])) for row in pairs(9)]
    some += [("cat " * 40, "sea lake"), ("boat", "shop " * 40), ("rain " * 30, "mat " * 41), ("cat", "cat")]
    found = Classifier.load(tmp_path).predict(some).probabilities_NC
    model = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()
    assert type(model).__name__ == "BertForSequenceClassification"
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    for texts, row in zip(some, found, strict=True):
        given = theirs(*texts, return_tensors="pt", truncation=True, max_length=CONTEXT)
        with torch.no_grad():
            np.testing.assert_allclose(model(**given).logits[0].softmax(-1).numpy(), row, atol=1e-5)
    singles = Classifier(headed, vocabulary).predict([" ".join(texts) for texts in some[:9]]).probabilities_NC
    assert np.abs(singles - found[:9]).max() > 0.02  # types and marks matter
    assert found.std(0).min() > 0.02
    assert (
        np.abs(Classifier(headed, vocabulary).predict(some[:2]).probabilities_NC - found[:2]) < 1e-5
    ).all()


@pytest.mark.parametrize("types", [0, 1])
def test_an_encoder_without_two_token_types_reads_pairs_too(types: int) -> None:
    headed = random_head(encoder(token_types=types, pair_head=False))
    found = Classifier(headed, wordpiece()).predict([("cat", "sea"), ("sea", "cat lake")]).probabilities_NC
    ids = read_text(wordpiece(), ("cat", "sea"), window=CONTEXT, whole=True).ids
    with torch.no_grad():
        alone = headed(torch.tensor([ids]))[0, 0].softmax(-1)
    np.testing.assert_allclose(found[0], alone.numpy(), atol=1e-6)


def test_a_classifier_of_pairs_learns_is_saved_and_labels_files_again(tmp_path: Path, capsys) -> None:
    base = save_checkpoint(tmp_path / "base", model=encoder(), tokenizer=wordpiece())
    data, more = written(tmp_path / "a.jsonl", pairs(160)), written(tmp_path / "b.jsonl", pairs(20, seed=5))
    single = written(tmp_path / "c.jsonl", [{"text": "cat", "label": "first"}])
    out = tmp_path / "out"
    command = ["classify", str(base), "--data", str(data), "--out", str(out), "--json", "--no-report"]
    command += ["--epochs", "12", "--loop.optimizer.learning-rate", "0.003"]
    with pytest.raises(SystemExit) as ended:
        main([*command, "--predict", str(more), "--context", "8", "--validation", "0"])
    said = capsys.readouterr()
    assert not ended.value.code, said.err
    result = json.loads(said.out)
    assert result["pairs"] and result["cut"] == 160 and result["texts"] == 20
    assert "160 pairs of texts (columns premise and hypothesis" in said.err
    assert "pairs longer than 8 tokens: 160 cut, the longer text of each first" in said.err
    lines = [json.loads(line) for line in (out / "predictions.jsonl").read_text().splitlines()]
    truth = [str(row["label"]) for row in pairs(20, seed=5)]
    assert np.mean([line["label"] == label for line, label in zip(lines, truth, strict=True)]) > 0.9
    assert [(line["text"], line["text_pair"]) for line in lines] == [
        (row["premise"], row["hypothesis"]) for row in pairs(20, seed=5)
    ]
    again = Classifier.load(out)
    assert again.pairs and again.predict([(line["text"], line["text_pair"]) for line in lines]).labels == [
        line["label"] for line in lines
    ]
    with pytest.raises(ConfigError, match=r"learned from pairs of texts: 'cat' is a single text"):
        again.predict([("cat", "sea"), "cat"])
    with pytest.raises(ConfigError, match="takes a list of texts"):
        again.predict("cat")
    for flags, message in (
        (["--predict", str(single)], "--predict has single texts, --data pairs"),
        (["--data", str(data), "--validation-data", str(single)], "--validation-data has single texts"),
    ):
        with pytest.raises(SystemExit) as ended:
            main(
                [
                    "classify",
                    str(out if "--data" not in flags else base),
                    "--out",
                    str(tmp_path / "d"),
                    *flags,
                ]
            )
        assert ended.value.code == 2 and message in capsys.readouterr().err


def test_a_decoder_learns_pairs_with_pseudo_labels_among_them(tmp_path: Path) -> None:
    base = save_checkpoint(tmp_path / "base", model=tiny_model(tokenizer().vocab_size), tokenizer=tokenizer())
    config = ClassifyConfig(
        model=str(base),
        data=(written(tmp_path / "a.jsonl", pairs(40)),),
        unlabelled=(written(tmp_path / "b.jsonl", pairs(12, seed=2)),),
        confidence=0.01,
        out=tmp_path / "out",
        report=False,
        loop=replace(head_loop(), steps=2),
    )
    result = train_classifier(config)
    assert result.pairs and result.pseudo == 12 and result.judgement is not None
    headed = random_head(tiny_model(tokenizer().vocab_size), labels=("a", "b"))
    found = Classifier(headed, tokenizer()).predict([("the cat", "a boat"), ("sea", "x")]).probabilities_NC
    ids = read_text(tokenizer(), ("the cat", "a boat"), window=64).ids
    with torch.no_grad():
        np.testing.assert_allclose(found[0], headed(torch.tensor([ids]))[0, -1].softmax(-1), atol=1e-6)
    with pytest.raises(ConfigError, match="can't be pairs"):
        prompted_labels(tiny_lm(), ["x"], {"a": "cat", "b": "sea"}, examples=[Labelled("a", "a", "b")])
