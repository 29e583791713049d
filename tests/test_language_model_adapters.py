"""Adapters beside a `LanguageModel`, chosen call by call: what comes out, and what is refused."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import shizuku
from random_adapters import random_adapter, saved_adapter
from shizuku.checkpoints.adapters import load_adapted
from shizuku.errors import CheckpointError, ConfigError
from shizuku.evaluation.perplexity import evaluate_text
from shizuku.inference.choices import choice_log_probs
from shizuku.inference.opening import RuntimeKind
from shizuku.inference.scoring import Passage, score_passages
from shizuku.language_model import LanguageModel
from shizuku.models.decoder import Decoder
from shizuku.quantization.native.sources import library_path
from shizuku.text.tokenizer import Tokenizer
from tiny_language_model import bare_lm, bare_tokenizer, tiny_lm, tokenizer

PROMPTS = ["The cat sat", "In the town by the sea", "雨が"]
HELLO = [{"role": "user", "content": "Hello"}]


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model and two adapters for it."""
    root = tmp_path_factory.mktemp("adapters")
    tiny_lm().save(root / "base")
    for seed, name in enumerate(("one", "two")):
        saved_adapter(root / name, root / "base", seed=seed, size=0.7)
    return root


def adapters(places: Path) -> dict[str, Path]:
    return {"one": places / "one", "two": places / "two"}


@pytest.fixture(scope="module", params=["native", "torch"])
def lm(request: pytest.FixtureRequest, places: Path) -> LanguageModel:
    return LanguageModel.load(places / "base", runtime=request.param, adapters=adapters(places))


@pytest.fixture(scope="module")
def merged(places: Path) -> dict[str | None, LanguageModel]:
    """What each name stands for, as a model of its own."""
    found = {name: load_adapted(path) for name, path in adapters(places).items()}
    made = {name: LanguageModel(one.model, tokenizer()) for name, one in found.items()}
    return {None: tiny_lm(), **made}


def test_each_call_is_answered_by_the_model_that_it_names(
    lm: LanguageModel, merged: dict[str | None, LanguageModel]
) -> None:
    assert lm.adapters == ("one", "two") and lm.adapter is None
    texts = set()
    for name in ("one", None, "two", "one"):
        expected = merged[name]
        assert lm.generate(PROMPTS, adapter=name, max_new_tokens=9) == expected.generate(
            PROMPTS, max_new_tokens=9
        )
        found = lm.generate("The", adapter=name, max_new_tokens=9, temperature=1.0, seed=5)
        assert found == expected.generate("The", max_new_tokens=9, temperature=1.0, seed=5)
        assert "".join(lm.stream("A boat", adapter=name, max_new_tokens=7)) == expected.generate(
            "A boat", max_new_tokens=7
        )
        assert lm.chat(HELLO, adapter=name, max_new_tokens=7) == expected.chat(HELLO, max_new_tokens=7)
        texts.add(found)
    assert len(texts) == 3


def test_numbers_are_those_of_the_merged_model(
    lm: LanguageModel, merged: dict[str | None, LanguageModel]
) -> None:
    ids = lm.prompt_ids(PROMPTS[0])
    for name in (None, "one", "two"):
        view = lm.adapted(name)
        expected = merged[name].logits(ids)
        assert np.abs(view.logits(ids) - expected).max() < 1e-4 * expected.std()
        found, wanted = view.score(PROMPTS), merged[name].score(PROMPTS)
        assert [score.logprob for score in found] == pytest.approx(
            [score.logprob for score in wanted], abs=1e-3
        )
        measured = [evaluate_text(one, PROMPTS).nats for one in (view, merged[name])]
        assert measured[0] == pytest.approx(measured[1], abs=1e-3)
        chosen = [
            choice_log_probs(one.engine, [ids], [[3], [4, 5]], adapter=one.adapter)
            for one in (view, merged[name])
        ]
        assert chosen[0] == pytest.approx(chosen[1], abs=1e-3)


def test_a_model_under_an_adapter_is_the_same_model(lm: LanguageModel, places: Path) -> None:
    one = lm.adapted("one")
    assert one.adapter == "one" and one.engine is lm.engine and one.path == places / "one"
    assert one.adapted(None) is lm and one.adapted("two").adapter == "two"
    assert one.generate("The", max_new_tokens=5) == lm.generate("The", adapter="one", max_new_tokens=5)
    assert one.generate("The", adapter="two", max_new_tokens=5) == lm.generate(
        "The", adapter="two", max_new_tokens=5
    )
    request = one.request(lm.prompt_ids("The"), max_new_tokens=3)
    assert request.adapter == "one" and lm.request([1]).adapter is None


def test_its_torch_module_is_the_merged_one(
    lm: LanguageModel, merged: dict[str | None, LanguageModel], tmp_path: Path
) -> None:
    one = lm.adapted("one")
    for name, tensor in merged["one"].model.state_dict().items():
        assert tensor.equal(one.model.state_dict()[name]), name
    again = shizuku.load(one.save(tmp_path / "merged"))
    assert again.generate("The", max_new_tokens=8) == one.generate("The", max_new_tokens=8)


def test_an_adapters_own_template_counts_with_it(tmp_path: Path) -> None:
    bare_lm().save(tmp_path / "base")
    template = "{% for m in messages %}{{ m.content }}\n{% endfor %}"
    bare_tokenizer().save(tmp_path / "tokens")
    (tmp_path / "tokens" / "chat_template.jinja").write_text(template)
    own = Tokenizer.load(tmp_path / "tokens")
    saved_adapter(tmp_path / "talks", tmp_path / "base", tokenizer=own)
    lm = shizuku.load(tmp_path / "base", adapters={"talks": tmp_path / "talks"})
    assert "chat" not in lm.capabilities and "chat" in lm.adapted("talks").capabilities
    assert isinstance(lm.chat(HELLO, adapter="talks", max_new_tokens=4), str)


def test_an_adapter_that_is_in_no_file(places: Path) -> None:
    lm = tiny_lm()
    lm.add_adapter("new", random_adapter(lm.model.config, seed=0, size=0.7))
    expected = shizuku.load(places / "base", adapters=adapters(places))
    assert lm.generate(PROMPTS, adapter="new", max_new_tokens=9) == expected.generate(
        PROMPTS, adapter="one", max_new_tokens=9
    )
    with pytest.raises(CheckpointError, match="not loaded from a path"):
        _ = lm.adapted("new").model


def test_what_is_asked_wrongly_is_told(places: Path, tmp_path: Path) -> None:
    lm = shizuku.load(places / "base", adapters=adapters(places))
    with pytest.raises(ConfigError, match=r"no adapter 'three' on this model \(there: 'one', 'two'\)"):
        lm.generate("The", adapter="three")
    with pytest.raises(ConfigError, match="'one' on this model already"):
        lm.add_adapter("one", places / "two")
    with pytest.raises(
        CheckpointError, match=r"is no adapter: expected a directory with adapter_config\.json"
    ):
        lm.add_adapter("three", tmp_path / "nowhere")
    with pytest.raises(CheckpointError, match=r"is no adapter"):
        lm.add_adapter("three", places / "base")
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match="empty is no adapter"):
        lm.add_adapter("three", tmp_path / "empty")
    shutil.copytree(places / "one", tmp_path / "cut")
    weights = tmp_path / "cut" / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-8])
    with pytest.raises(CheckpointError, match="damaged"):
        lm.add_adapter("three", tmp_path / "cut")
    assert lm.adapters == ("one", "two")


def test_an_adapter_of_another_base_is_refused(places: Path, tmp_path: Path) -> None:
    tiny_lm(seed=7).save(tmp_path / "other")
    with pytest.raises(CheckpointError, match=r"trained on another base.*--another-base"):
        shizuku.load(tmp_path / "other", adapters={"one": places / "one"})
    lm = shizuku.load(tmp_path / "other")
    lm.add_adapter("one", places / "one", another_base=True)
    assert lm.generate("The", adapter="one", max_new_tokens=6) != lm.generate("The", max_new_tokens=6)
    # One that says nothing of its base, as PEFT writes them, has to fit in its shapes.
    shutil.copytree(places / "one", tmp_path / "foreign")
    (tmp_path / "foreign" / "run.json").unlink()
    lm.add_adapter("foreign", tmp_path / "foreign")
    wide = LanguageModel(Decoder(replace(tiny_lm().model.config, width=64)), tokenizer())
    with pytest.raises(CheckpointError, match=r"B is \(32, 3\), expected \(64, 3\)"):
        wide.add_adapter("foreign", tmp_path / "foreign")


def test_adapters_are_read_and_switched_without_torch(places: Path) -> None:
    if not library_path().is_file():
        pytest.skip("the native library is not built")
    code = (
        "import json, sys\n"
        "import shizuku\n"
        "from shizuku import cli\n"
        f"lm = shizuku.load({str(places / 'base')!r}, adapters={{'one': {str(places / 'one')!r}}})\n"
        "found = [lm.generate('The', adapter=name, max_new_tokens=5) for name in (None, 'one')]\n"
        f"lm = shizuku.load({str(places / 'one')!r})\n"
        "found.append(lm.generate('The', max_new_tokens=5))\n"
        f"cli.run(['generate', {str(places / 'base')!r}, '--adapter', {str(places / 'one')!r}, '-p', 'The', "
        "'-n', '5', '--json'])\n"
        "print(json.dumps([*found, 'torch' in sys.modules]))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    printed, last = done.stdout.splitlines()
    base, one, alone, torch_there = json.loads(last)
    assert json.loads(printed)["text"] == one == alone != base and not torch_there


@pytest.mark.parametrize("runtime", ["native", "torch"])
def test_an_adapters_own_directory_is_opened_as_the_merged_model(
    runtime: RuntimeKind, places: Path, merged: dict[str | None, LanguageModel]
) -> None:
    lm, expected = shizuku.load(places / "one", runtime=runtime), merged["one"]
    assert type(lm.runtime).__name__ == {"native": "NativeRuntime", "torch": "TorchRuntime"}[runtime]
    assert lm.generate(PROMPTS, max_new_tokens=9) == expected.generate(PROMPTS, max_new_tokens=9)
    assert lm.chat(HELLO, max_new_tokens=5) == expected.chat(HELLO, max_new_tokens=5)
    # Also for those who ask the engine and not the model.
    passages = [Passage(lm.prompt_ids(text), 1) for text in PROMPTS]
    found, wanted = score_passages(lm.engine, passages), score_passages(expected.engine, passages)
    assert all(np.allclose(a.logprobs_N, b.logprobs_N, atol=1e-4) for a, b in zip(found, wanted, strict=True))
    assert lm.path == places / "one" and lm.run["base"]["name"] == str(places / "base")
    assert all(t.equal(lm.model.state_dict()[name]) for name, t in expected.model.state_dict().items())


def test_beside_an_adapter_that_acts_there_is_no_other(places: Path) -> None:
    lm = shizuku.load(places / "one", runtime="native")
    assert lm.adapters == ()
    with pytest.raises(ConfigError, match="load its base, and put both beside it"):
        lm.add_adapter("two", places / "two", another_base=True)
