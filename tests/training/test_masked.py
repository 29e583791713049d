"""Learning hidden tokens and pairs: the loss, the loop resumed, and that something is learned."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from shizuku import load
from shizuku.cli import main
from shizuku.data.masked_rows import MaskedRows
from shizuku.data.shards import ShardSet, write_shards
from shizuku.models.encoder import Encoder, EncoderConfig, initialise
from shizuku.text.documents import Document
from shizuku.text.tokenizer import Tokenizer
from shizuku.training.config import LoopConfig
from shizuku.training.loop import train
from shizuku.training.masked import FillIn, MaskedHeldOut, MaskedSource, MaskedTensors

NAMES = ["anna", "berta", "carl", "dora", "emil", "fritz", "gerd", "hans"]
THINGS = ["apples", "books", "cups", "dogs", "eggs", "fish", "goats", "hats"]


def documents(count: int, seed: int = 0) -> list[Document]:
    """Stories of one person and one thing each, which both passages of a pair name."""
    random = np.random.default_rng(seed)
    found = []
    for number in range(count):
        who, what = random.choice(NAMES), random.choice(THINGS)
        lines = [f"{who} likes {what} .", f"today {who} has {what} .", f"{who} gives {what} to us ."]
        found.append(Document(id=f"{number:016x}", text=" ".join(random.permutation(lines)), source="s"))
    return found


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> tuple[ShardSet, Tokenizer]:
    found = documents(300)
    tokenizer = Tokenizer.train([one.text for one in found], 90, kind="wordpiece")
    return write_shards(found, tokenizer, tmp_path_factory.mktemp("shards") / "train"), tokenizer


def model_for(tokenizer: Tokenizer, **changed: object) -> Encoder:
    sizes = {"context": 40, "width": 32, "layers": 2, "heads": 2, "ffn_width": 64}
    model = Encoder(EncoderConfig(vocab_size=tokenizer.vocab_size, **{**sizes, **changed}))
    initialise(model, 0)
    return model


def rows(corpus: tuple[ShardSet, Tokenizer], **changed: object) -> MaskedRows:
    return MaskedRows(*corpus, **{"context": 40, "batch_size": 16, "seed": 0, **changed})


def test_the_loss_is_that_of_hidden_tokens_and_pairs_alone(corpus: tuple[ShardSet, Tokenizer]) -> None:
    model, batch = model_for(corpus[1]).eval(), MaskedTensors.of(rows(corpus).next())
    objective = FillIn(model.config)
    sums, counts = objective.loss(model, batch), objective.counts(batch)
    with torch.no_grad():
        nats, right, asked = 0.0, 0, 0
        for row in range(len(batch.ids_BT)):
            for segment in range(int(batch.segments_BT[row].max()) + 1):
                own = batch.segments_BT[row] == segment
                ids, types = batch.ids_BT[row, own][None], batch.types_BT[row, own][None]
                logp = model(ids, types_BT=types)[0].log_softmax(-1)
                mask, targets = batch.mask_BT[row, own], batch.targets_BT[row, own]
                nats -= float(logp[mask].gather(1, targets[mask][:, None]).sum())
                right += int((logp[mask].argmax(-1) == targets[mask]).sum())
                asked += int(mask.sum())
        pairs = model.pair_logits(
            model.hidden(
                batch.ids_BT,
                types_BT=batch.types_BT,
                positions_BT=batch.positions_BT,
                segments_BT=batch.segments_BT,
            )[batch.pair_rows_P, batch.pair_places_P]
        ).log_softmax(-1)
    assert counts["masked"] == asked and counts["next_sentence"] == len(batch.strangers_P) > 16
    assert float(sums["masked"].detach()) == pytest.approx(nats, rel=1e-5)
    assert int(sums["masked_right"]) == right
    expected = -pairs.gather(1, batch.strangers_P[:, None]).sum()
    assert float(sums["next_sentence"].detach()) == pytest.approx(float(expected), rel=1e-5)
    alone = FillIn(model_for(corpus[1], pair_head=False).config)
    assert set(alone.terms) == {"masked", "masked_right"}


def test_a_resumed_run_is_the_uninterrupted_one(corpus: tuple[ShardSet, Tokenizer], tmp_path: Path) -> None:
    def run(out: str, steps: int, **how: object) -> dict[str, np.ndarray]:
        loop = LoopConfig(steps=steps, log_every=1, save_minutes=None, **how)
        model = model_for(corpus[1])
        source = MaskedSource(rows(corpus))
        train(model, FillIn(model.config), source, loop, out=tmp_path / out, tokenizer=corpus[1])
        return load_file(tmp_path / out / "model.safetensors")

    whole = run("whole", 8)

    class Stop(Exception):
        pass

    class Stopping(MaskedSource):
        taken = 0

        def next(self) -> MaskedTensors:
            self.taken += 1
            if self.taken > 5:
                raise Stop
            return super().next()

    model = model_for(corpus[1])
    loop = LoopConfig(steps=8, log_every=1, save_minutes=None, save_every=4)
    with pytest.raises(Stop):
        train(model, FillIn(model.config), Stopping(rows(corpus)), loop, out=tmp_path / "cut")
    again = run("cut", 8, resume=True, save_every=4)
    for name, weights in whole.items():
        np.testing.assert_array_equal(weights, again[name], err_msg=name)


def test_words_and_pairs_are_learned(corpus: tuple[ShardSet, Tokenizer], tmp_path: Path) -> None:
    held = write_shards(documents(200, seed=1), corpus[1], tmp_path / "held")
    model = model_for(corpus[1])
    result = train(
        model,
        FillIn(model.config),
        MaskedSource(rows(corpus)),
        LoopConfig(steps=120, save_minutes=None),
        out=tmp_path / "out",
        tokenizer=corpus[1],
        validation=MaskedHeldOut(rows((held, corpus[1])).once()),
    )
    last = result.history[-1]
    counts = np.bincount(np.concatenate([held.document(n) for n in range(held.documents)]))
    shares = counts[counts > 0] / counts.sum()
    assert last["validation/masked"] < -(shares * np.log(shares)).sum() - 0.5
    assert last["validation/pairs_right"] > 0.62


def told(command: list[str], capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    with pytest.raises(SystemExit) as ended:
        main(command)
    assert ended.value.code == 0, capsys.readouterr().err
    return json.loads(capsys.readouterr().out)


def test_the_verb_trains_and_the_model_is_used(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = tmp_path / "text.jsonl"
    text.write_text("".join(json.dumps({"text": one.text}) + "\n" for one in documents(300)))
    out = tmp_path / "model"
    command = [
        "train",
        "--architecture",
        "encoder",
        "--preset",
        "micro",
        "--text",
        str(text),
        "--out",
        str(out),
    ]
    command += ["--vocab-size", "90", "--steps", "30", "--model.context", "40", "--json"]
    said = told(command, capsys)
    assert said["loss"] > 0 and said["validation_loss"] > 0
    lm = load(out)
    assert lm.tokenizer.mask_id is not None and lm.embed(["anna likes apples ."]).shape == (1, 64)
    found = told(["eval", str(out), "--text", str(text), "--json"], capsys)
    assert 1 < found["pseudo_perplexity"] < 90 and "perplexity" not in found
    refused = {
        "cannot continue texts": ["generate", str(out), "--prompt", "anna"],
        "shizuku chat: a model of the architecture encoder cannot continue texts": ["chat", str(out)],
        "no bits per byte to compare": ["eval", str(out), "--text", str(text), "--baseline", str(out)],
    }
    for message, words in refused.items():
        with pytest.raises(SystemExit) as ended:
            main(words)
        assert ended.value.code == 2
        assert message in " ".join(capsys.readouterr().err.split())
