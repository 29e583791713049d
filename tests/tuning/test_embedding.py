"""`shizuku embed train`: pairs read, the loss against its formula, vectors as `embed` has them, runs."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import shizuku
from shizuku.adapters.config import AdapterConfig
from shizuku.checkpoints.directory import save_checkpoint
from shizuku.checkpoints.pooling import declared_pooling
from shizuku.cli import main
from shizuku.errors import ConfigError, DocumentError
from shizuku.evaluation.retrieval import gain, judge_retrieval
from shizuku.language_model import LanguageModel
from shizuku.models.encoder import Encoder, EncoderConfig, initialise
from shizuku.models.lstm import LSTM, LSTMConfig
from shizuku.models.lstm import initialise as initialise_lstm
from shizuku.text.problems import Problems
from shizuku.text.tokenizer import Tokenizer
from shizuku.training.config import LoopConfig, OptimizerConfig
from shizuku.training.dropout import dropping, seed_draws
from shizuku.training.evaluation import evaluate
from shizuku.training.step import accumulate_gradients
from shizuku.tuning.embedding.batches import EncodedTexts, HeldoutTexts, TextTable
from shizuku.tuning.embedding.config import EmbedTrainConfig
from shizuku.tuning.embedding.objective import Contrast, vectors_of
from shizuku.tuning.embedding.pairs import TextPair, read_text_pairs, split_pairs, without
from shizuku.tuning.embedding.training import plan, train_embedder
from shizuku.tuning.reward_config import head_loop
from tiny_language_model import tiny_model, tokenizer

ENGLISH = ("rain", "boat", "lake", "shop", "sea", "baker", "mat", "cat")
GERMAN = ("regen", "boot", "teich", "laden", "meer", "koch", "matte", "katze")


def sentences(number: int, *, seed: int = 0) -> list[tuple[str, str]]:
    """Three words, and the same three in other words."""
    random = np.random.default_rng(seed)
    drawn = [random.choice(8, 3, replace=False) for _ in range(number)]
    return [tuple(" ".join(side[word] for word in words) for side in (ENGLISH, GERMAN)) for words in drawn]


def wordpiece() -> Tokenizer:
    return Tokenizer.train([" ".join((*ENGLISH, *GERMAN))] * 9, 60, kind="wordpiece")


def encoder(**changed: object) -> Encoder:
    sizes = {"context": 24, "width": 32, "layers": 2, "heads": 2, "ffn_width": 64}
    model = Encoder(EncoderConfig(vocab_size=wordpiece().vocab_size, **{**sizes, **changed}))
    initialise(model, 0)
    with torch.no_grad():
        model.embedding.weight.mul_(20)
    return model


def loop(rate: float = 3e-3, **changed: object) -> LoopConfig:
    optimizer = OptimizerConfig(
        kind="adamw", learning_rate=rate, embedding_learning_rate=None, weight_decay=0.0
    )
    return replace(head_loop(), optimizer=optimizer, **changed)


def written(path: Path, records: list[dict[str, object]]) -> Path:
    path.write_text("\n".join(map(json.dumps, records)), encoding="utf-8")
    return path


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return save_checkpoint(tmp_path / "base", model=encoder(), tokenizer=wordpiece())


@pytest.fixture
def data(tmp_path: Path) -> Path:
    records = [{"anchor": one, "positive": other} for one, other in sentences(220)]
    return written(tmp_path / "pairs.jsonl", records)


# ---- reading


def test_columns_of_pairs_and_negatives_are_found_out_and_said(tmp_path: Path) -> None:
    records = [
        {"query": "a", "passage": "b", "negatives": ["c", "", "d"]},
        {"query": "e", "passage": " "},
        {"query": "f", "passage": "g", "negatives": "h"},
    ]
    problems = Problems()
    path = written(tmp_path / "a.jsonl", records)
    read = read_text_pairs([path], problems=problems)
    assert read.items == [TextPair("a", "b", ("c", "d")), TextPair("f", "g", ("h",))]
    assert dict(problems.counts) == {"an empty text": 1}
    assert read.say() == "read 2 pairs (query and passage, 3 negatives beside them)"
    assert read_text_pairs([path], text_column="passage").single
    single = read_text_pairs([written(tmp_path / "b.jsonl", [{"text": "a"}, {"text": "b"}])])
    assert single.single and single.say() == "read 2 single texts (column text)"
    labelled = [{"sentence1": "a", "sentence2": "b", "label": 0}]
    with pytest.raises(DocumentError, match=r"have a label.*--text-column sentence1 --pair-column sentence2"):
        read_text_pairs([written(tmp_path / "c.jsonl", labelled)])
    taken = read_text_pairs([tmp_path / "c.jsonl"], text_column="sentence1", pair_column="sentence2")
    assert taken.items == [TextPair("a", "b")]
    mixed = [{"anchor": "a", "positive": "b"}, {"anchor": "a"}]
    with pytest.raises(DocumentError, match="don't mix"):
        read_text_pairs([written(tmp_path / "d.jsonl", mixed)])
    with pytest.raises(DocumentError, match="no text in"):
        read_text_pairs([written(tmp_path / "e.jsonl", [{"anchor": "", "positive": "b"}])])


def test_held_out_texts_are_never_learned_from() -> None:
    items = [TextPair(f"a {at % 50}", f"b {at % 60}") for at in range(300)]
    kept, held = split_pairs(items, 0.2, 0)
    assert len({item.text for item in held}) == 10 and kept
    texts = [{text for item in part for text in (item.text, item.other)} for part in (kept, held)]
    assert not texts[0] & texts[1]
    assert set(split_pairs(items[::-1], 0.2, 0)[1]) == set(held)
    assert split_pairs(items[:9], 0.2, 0)[1] == [] and without(items, held) == kept


# ---- the measure


def test_ranks_are_those_of_a_search_by_hand() -> None:
    random = np.random.default_rng(0)
    asking, found = random.normal(size=(2, 40, 6))
    keys = [f"text {min(at, 37)}" for at in range(40)]  # the last three are the same text
    judged = judge_retrieval(asking, found, keys)
    for at in range(40):
        own = asking[at] @ found[at]
        others = [asking[at] @ found[to] for to in range(40) if keys[to] != keys[at]]
        assert judged.ranks_N[at] == 1 + sum(other >= own for other in others)
    assert judged.recall.mean == pytest.approx((judged.ranks_N == 1).mean())
    assert judged.reciprocal_rank.mean == pytest.approx((1 / judged.ranks_N).mean())
    assert judged.recall.low <= judged.recall.mean <= judged.recall.high
    alike = np.ones((40, 6))
    assert (
        judge_retrieval(alike, alike, range(40)).recall.mean == 0
    )  # vectors that are all alike find nothing
    best = judge_retrieval(np.eye(40), np.eye(40), range(40))
    assert best.recall.mean == 1 and gain(judged, best).mean == pytest.approx(1 - judged.recall.mean)
    with pytest.raises(ConfigError, match="two or more pairs"):
        judge_retrieval(asking[:1], found[:1], ["a"])


# ---- the loss


def encoded(texts: Tokenizer, pairs: list[tuple[str, ...]], *, whole: bool = True) -> list[EncodedTexts]:
    def ids(text: str) -> list[int]:
        found = texts.encode(text)
        return [texts.cls_id, *found, texts.sep_id] if whole else found

    return [EncodedTexts(ids(one), ids(other), tuple(map(ids, rest))) for one, other, *rest in pairs]


PAIRS = [
    ("rain boat", "regen boot", "laden"),
    ("lake", "teich"),
    ("shop sea baker mat", "laden meer koch matte", "meer", "boot teich"),
    ("lake", "teich meer"),  # the second pair's text asks again
    ("cat", "teich"),  # and its answer answers again
    ("boat cat", "boat cat"),
]


@pytest.mark.parametrize("both_ways", [False, True])
def test_the_loss_and_its_gradient_are_those_of_the_formula(both_ways: bool) -> None:
    model, objective = encoder(), Contrast(temperature=0.1, both_ways=both_ways)
    pairs = encoded(wordpiece(), PAIRS)
    batch = TextTable(pairs).batch(range(len(pairs)))
    assert batch.shape[0] < len(batch.keys_N)  # several texts share a row
    step = accumulate_gradients(model, objective, [batch])
    found = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()

    def vector(ids: list[int]) -> torch.Tensor:
        x_D = model.hidden(torch.tensor([ids]))[0].mean(0)
        return x_D / x_D.norm()

    firsts, seconds = [pair.text for pair in pairs], [pair.other for pair in pairs]
    candidates = [*seconds, *(ids for pair in pairs for ids in pair.negatives)]

    def nats(asking: list[list[int]], among: list[list[int]], at: int) -> torch.Tensor:
        scores = [
            vector(asking[at]) @ vector(ids) / 0.1
            for number, ids in enumerate(among)
            if number == at or ids not in (among[at], asking[at])
        ]
        own = vector(asking[at]) @ vector(among[at]) / 0.1
        return torch.stack(scores).logsumexp(0) - own

    losses = [nats(firsts, candidates, at) for at in range(len(pairs))]
    if both_ways:
        losses = [(one + nats(seconds, firsts, at)) / 2 for at, one in enumerate(losses)]
    expected = torch.stack(losses).mean()
    assert step.loss == pytest.approx(float(expected.detach()), rel=1e-5)
    expected.backward()
    for name, parameter in model.named_parameters():
        if parameter.grad is None:
            assert name not in found and name.split(".")[0] in ("pooler", "mask_head", "pair_head"), name
        else:
            torch.testing.assert_close(found[name], parameter.grad, rtol=1e-3, atol=1e-5)
            assert (
                name == "blocks.0.attention.key.bias" or "key.bias" in name or found[name].abs().max() > 1e-5
            )


def test_vectors_are_those_that_embed_gives() -> None:
    def check(model: torch.nn.Module, texts: Tokenizer, pooling: str, *, whole: bool) -> None:
        pairs = encoded(texts, [("the cat on a mat", "a boat"), ("rain", "the sea by the town")], whole=whole)
        batch = TextTable(pairs).batch([0, 1])
        ids = [pair.text for pair in pairs] + [pair.other for pair in pairs]
        with torch.no_grad():
            found_ND = vectors_of(model, batch, pooling).numpy()
        expected_ND = LanguageModel(model, texts).embed(ids, pooling=pooling)
        np.testing.assert_allclose(found_ND, expected_ND, atol=2e-6)

    for pooling in ("mean", "first"):
        check(encoder().eval(), wordpiece(), pooling, whole=True)
    lstm = LSTM(LSTMConfig(vocab_size=tokenizer().vocab_size, context=64, width=24, layers=1))
    initialise_lstm(lstm, 0)
    for model in (tiny_model(tokenizer().vocab_size), lstm.eval()):
        check(model, tokenizer(), "mean", whole=False)


def test_batches_of_a_step_add_pairs_and_no_strangers() -> None:
    model, objective = encoder(), Contrast(temperature=0.1)
    table = TextTable(encoded(wordpiece(), sentences(8)))
    parts = [table.batch(numbers) for numbers in ([0, 1, 2], [3, 4, 5, 6, 7])]
    both = accumulate_gradients(model, objective, parts).loss
    alone = [accumulate_gradients(model, objective, [part]).loss for part in parts]
    assert both == pytest.approx((3 * alone[0] + 5 * alone[1]) / 8, rel=1e-5)
    assert both < accumulate_gradients(model, objective, [table.batch(range(8))]).loss  # more to tell from
    held = HeldoutTexts(TextTable(table.pairs[:7]), batch_size=3)
    assert [batch.pairs for batch in held] == [3, 4] and len(held) == 2
    means = evaluate(model, objective, held, torch.device("cpu"))
    assert means["loss"] > 0 and 0 <= means["nearest"] <= 1


def test_two_readings_of_a_text_differ_by_what_dropout_leaves_out() -> None:
    model, objective = encoder().train(), Contrast(temperature=0.05)
    ids = [pair.text for pair in encoded(wordpiece(), list(dict.fromkeys(sentences(12))))]
    batch = TextTable([EncodedTexts(one, one) for one in ids]).batch(range(len(ids)))

    def vectors(share: float) -> torch.Tensor:
        seed_draws(0, 1, 0)
        with dropping(model, share):
            return vectors_of(model, batch, "mean")

    half = batch.pairs
    assert torch.allclose(vectors(0.0)[:half], vectors(0.0)[half:], atol=1e-5)
    assert (vectors(0.2)[:half] - vectors(0.2)[half:]).abs().max() > 0.01
    with dropping(model, 0.2):
        assert float(objective.loss(model, batch)["contrast"].detach()) > 0


# ---- whole runs


def test_texts_that_belong_together_find_each_other_after_training(base, data, tmp_path, capsys) -> None:
    out = tmp_path / "out"
    command = ["embed", "train", str(base), "--data", str(data), "--out", str(out), "--json", "--both-ways"]
    command += ["--epochs", "6", "--batch-size", "16", "--loop.optimizer.learning-rate", "0.003"]
    command += ["--pooling", "first", "--judged", "40", "--validation", "0.3"]
    with pytest.raises(SystemExit) as ended:
        main(command)
    said = capsys.readouterr()
    assert not ended.value.code, said.err
    result = json.loads(said.out)
    assert "read 220 pairs (anchor and positive)" in said.err and result["judged"] <= 40
    assert result["pairs_seen"] >= 6 * result["pairs"]
    assert result["recall_at_1_before"] < 0.4 < 0.7 < result["recall_at_1_after"]
    assert result["backward_mrr_after"] > result["backward_mrr_before"]
    low, high = result["recall_gain_interval"]
    assert 0 < low <= result["recall_gain"] <= high and result["validation_loss"] < 1
    lm = shizuku.load(out)
    assert declared_pooling(out) == "first" and result["pooling"] == "first"
    vectors = lm.embed(["rain boat lake", "regen boot teich", "laden koch matte"])
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2] + 0.2
    assert not np.allclose(vectors, lm.embed(["rain boat lake"] * 3, pooling="mean"), atol=0.01)
    modules = json.loads((out / "modules.json").read_text())
    assert [one["path"] for one in modules] == ["", "1_Pooling", "2_Normalize"]
    assert json.loads((out / "1_Pooling/config.json").read_text())["pooling_mode_cls_token"] is True
    assert json.loads((out / "run.json").read_text())["data"]["pooling"] == "first"
    assert "Recall at 1" in (out / "report.html").read_text(encoding="utf-8")


def test_resumed_is_as_uninterrupted_also_with_dropout(base, tmp_path) -> None:
    texts = written(tmp_path / "texts.jsonl", [{"text": one} for one, _ in sentences(40)])
    held = written(tmp_path / "h.jsonl", [{"anchor": a, "positive": b} for a, b in sentences(20, seed=9)])

    def run(out: str, **changed: object) -> dict:
        config = EmbedTrainConfig(
            model=str(base), data=(texts,), validation_data=(held,), out=tmp_path / out, report=False,
            batch_size=6, keep="last", loop=loop(steps=6, dropout=0.1, evaluate_every=3, **changed),
        )  # fmt: skip
        return train_embedder(config).to_json()

    whole = run("whole")
    assert whole["single_texts"] and whole["judged"] == 20
    import shizuku.tuning.embedding.training as training

    calls, plain = 0, training.train

    def stop(record: dict) -> None:
        nonlocal calls
        calls += 1
        if calls == 4:
            raise KeyboardInterrupt

    training.train = lambda *args, **more: plain(*args, **more, on_log=stop)  # type: ignore[assignment]
    try:
        with pytest.raises(KeyboardInterrupt):
            run("parts", save_every=2)
    finally:
        training.train = plain
    assert declared_pooling(tmp_path / "parts") == "mean" and (tmp_path / "parts/1_Pooling").is_dir()
    with pytest.raises(ConfigError, match=r"temperature was 0.05, is 0.1"):
        train_embedder(
            EmbedTrainConfig(
                model=str(base), data=(texts,), validation_data=(held,), out=tmp_path / "parts", report=False,
                batch_size=6, keep="last", temperature=0.1,
                loop=loop(steps=6, dropout=0.1, evaluate_every=3, save_every=2, resume=True),
            )
        )  # fmt: skip
    with pytest.raises(ConfigError, match=r"pooling was 'mean', is 'first'"):
        train_embedder(
            EmbedTrainConfig(
                model=str(base), data=(texts,), validation_data=(held,), out=tmp_path / "parts", report=False,
                batch_size=6, keep="last", pooling="first",
                loop=loop(steps=6, dropout=0.1, evaluate_every=3, save_every=2, resume=True),
            )
        )  # fmt: skip
    assert declared_pooling(tmp_path / "parts") == "mean", "what was refused has changed nothing"
    parts = run("parts", save_every=2, resume=True)
    for name in ("loss", "validation_loss", "recall_at_1_after", "mrr_after", "tokens"):
        assert parts[name] == whole[name], name


def test_an_adapter_on_a_decoder_is_trained_and_opened_again(tmp_path: Path) -> None:
    base = save_checkpoint(tmp_path / "base", model=tiny_model(tokenizer().vocab_size), tokenizer=tokenizer())
    lines = [tmp_path / name for name in ("a.txt", "b.txt")]
    for side, path in enumerate(lines):
        path.write_text("\n".join(pair[side] for pair in sentences(60)), encoding="utf-8")
    config = EmbedTrainConfig(
        model=str(base), source=lines[0], target=lines[1], out=tmp_path / "out", report=False, batch_size=8,
        lora=AdapterConfig(rank=4), loop=loop(0.01, steps=12),
    )  # fmt: skip
    planned = plan(config)
    assert planned["trained_parameters"] < planned["parameters"] and planned["steps"] == 12
    result = train_embedder(config)
    assert result.training.history[-1]["loss"] < result.training.history[0]["loss"]
    opened = shizuku.load(tmp_path / "out").embed(["the cat", "a boat"])
    before = shizuku.load(base).embed(["the cat", "a boat"])
    np.testing.assert_allclose(
        opened, LanguageModel(result.model, tokenizer()).embed(["the cat", "a boat"]), atol=1e-4
    )
    assert np.abs(opened - before).max() > 1e-3


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"batch_size": 64}, r"--batch-size 64: there are only 22 pairs"),
        ({"context": 25}, r"--context 25: expected 3 to 24"),
        ({"lora": AdapterConfig(rank=2)}, "is an encoder: leave it out"),
        ({"data": ()}, "give --data with pairs"),
        ({"source": Path("a")}, "--source and --target: both or neither"),
        ({"source": Path("a"), "target": Path("b")}, "--data and --source: give the one or the other"),
        ({"text_column": "anchor"}, r"--loop.dropout 0: single texts.*give --loop.dropout 0.1"),
    ],
)
def test_settings_that_make_no_sense_are_refused(changed, message, base, tmp_path) -> None:
    records = [{"anchor": one, "positive": other} for one, other in sentences(22)]
    path = written(tmp_path / "few.jsonl", records)
    values = {
        "model": str(base),
        "data": (path,),
        "out": tmp_path / "out",
        "validation": 0.0,
        "batch_size": 4,
    }
    with pytest.raises(ConfigError, match=message):
        train_embedder(EmbedTrainConfig(**{**values, "report": False, **changed}))


def test_too_few_pairs_texts_above_the_window_and_wrong_models(base, tmp_path, capsys) -> None:
    with pytest.raises(ConfigError, match="--batch-size 1: a text is told from the others"):
        EmbedTrainConfig(model="a", out=tmp_path, batch_size=1)
    one = written(tmp_path / "one.jsonl", [{"anchor": "cat", "positive": "katze"}])
    config = EmbedTrainConfig(model=str(base), data=(one,), out=tmp_path / "out", report=False)
    with pytest.raises(ConfigError, match="there is 1 pair to learn from"):
        train_embedder(config)
    long = written(
        tmp_path / "long.jsonl", [{"anchor": "cat " * 40, "positive": f"katze {n}"} for n in range(8)]
    )
    result = train_embedder(
        replace(config, data=(long,), out=tmp_path / "cut", batch_size=4, validation=0, loop=loop(steps=1))
    )
    assert result.cut == 8 and result.before is None
    assert "texts longer than 24 tokens: 8 cut (--context)" in capsys.readouterr().err
    decoder = save_checkpoint(tmp_path / "d", model=tiny_model(tokenizer().vocab_size), tokenizer=tokenizer())
    with pytest.raises(ConfigError, match=r"--pooling first.*left to right"):
        train_embedder(replace(config, model=str(decoder), pooling="first", data=(long,)))
