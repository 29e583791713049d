"""Adapters under names of their own: the `model` of a request chooses, on one engine."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import openai
import pytest
from live_server import Live, idle, running

import shizuku
from random_adapters import saved_adapter
from shizuku import cli
from shizuku.checkpoints.adapters import load_adapted
from shizuku.errors import CheckpointError, ConfigError
from shizuku.language_model import LanguageModel
from shizuku.serving import starting
from shizuku.serving.settings import ServerSettings
from tiny_language_model import tiny_lm, tokenizer

HELLO = [{"role": "user", "content": "Hello"}]
PROMPTS = ["The cat sat", "A boat went over", "In the town by the sea", "雨が"]


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("adapters")
    tiny_lm().save(root / "base")
    for seed, name in enumerate(("one", "two")):
        saved_adapter(root / name, root / "base", seed=seed, size=0.7)
    return root


@pytest.fixture(scope="module")
def live(places: Path) -> Iterator[Live]:
    lm = shizuku.load(places / "base")
    with running({"base": lm}, adapter=(f"polite={places / 'one'}", str(places / "two"))) as found:
        yield found


@pytest.fixture(scope="module")
def client(live: Live) -> openai.OpenAI:
    return live.client()


@pytest.fixture(scope="module")
def expected(places: Path) -> dict[str, LanguageModel]:
    merged = {name: load_adapted(places / place).model for name, place in (("polite", "one"), ("two", "two"))}
    return {"base": tiny_lm()} | {name: LanguageModel(one, tokenizer()) for name, one in merged.items()}


def test_the_list_has_the_base_and_its_adapters(client: openai.OpenAI, live: Live) -> None:
    cards = {card.id: card for card in client.models.list()}
    assert list(cards) == ["base", "polite", "two"]
    assert [getattr(card, "parent", None) for card in cards.values()] == [None, "base", "base"]
    assert live.get("/v1/models/polite").json()["parent"] == "base"


def test_the_model_field_chooses_also_in_company(
    client: openai.OpenAI, live: Live, expected: dict[str, LanguageModel]
) -> None:
    def ask(n: int) -> str:
        name = list(expected)[n % 3]
        asked = {"model": name, "temperature": 0, "max_tokens": 7}
        if n % 2:
            return client.completions.create(prompt=PROMPTS[n % 4], **asked).choices[0].text
        return client.chat.completions.create(messages=HELLO, **asked).choices[0].message.content or ""

    def wanted(n: int) -> str:
        lm = expected[list(expected)[n % 3]]
        if n % 2:
            return lm.generate(PROMPTS[n % 4], temperature=0.0, max_new_tokens=7)
        return lm.chat(HELLO, temperature=0.0, max_new_tokens=7)

    with ThreadPoolExecutor(9) as pool:
        assert list(pool.map(ask, range(9))) == [wanted(n) for n in range(9)]
    assert idle(live)


def test_a_request_without_a_model_gets_the_base(live: Live, expected: dict[str, LanguageModel]) -> None:
    found = live.post("/v1/completions", {"prompt": "The", "temperature": 0, "max_tokens": 8}).json()
    assert found["model"] == "base"
    assert found["choices"][0]["text"] == expected["base"].generate("The", max_new_tokens=8, temperature=0.0)


def test_an_unknown_name_is_told_which_there_are(live: Live) -> None:
    reply = live.post("/v1/completions", {"model": "three", "prompt": "The"})
    assert reply.status == 404 and "base, polite, two" in reply.error["message"]


def test_vectors_and_attention_are_the_adapters_own(
    client: openai.OpenAI, live: Live, expected: dict[str, LanguageModel]
) -> None:
    vectors = {}
    for name in expected:
        vectors[name] = np.array(client.embeddings.create(model=name, input="The cat").data[0].embedding)
    assert (
        min(np.abs(vectors[a] - vectors[b]).max() for a, b in (("base", "polite"), ("two", "polite"))) > 0.01
    )
    asked = {"text": "The cat", "layer": 1, "head": 0}
    maps = [live.post("/shizuku/attention", {"model": name, **asked}).json()["weights"] for name in expected]
    assert maps[0] != maps[1] != maps[2]


def test_live_numbers_count_the_shared_engine_once(live: Live) -> None:
    live.post("/v1/completions", {"model": "polite", "prompt": "The", "max_tokens": 3, "temperature": 0})
    status = live.get("/shizuku/status").json()
    assert [model["id"] for model in status["models"]] == ["base", "polite", "two"]
    assert [model.get("parent") for model in status["models"]] == [None, "base", "base"]
    text = live.get("/metrics").data.decode()
    assert 'shizuku_engine_steps_total{model="base"}' in text
    assert 'shizuku_engine_steps_total{model="polite"}' not in text
    assert 'shizuku_generated_tokens_total{model="polite"}' in text


def test_what_cannot_be_served_is_refused(places: Path, tmp_path: Path) -> None:
    base, one = str(places / "base"), str(places / "one")
    with pytest.raises(ConfigError, match="with 2 models it isn't clear"):
        starting.check([base, f"again={base}"], ServerSettings(port=0, adapter=(one,)))
    with pytest.raises(ConfigError, match="two of the models would be called 'one'"):
        starting.check([base], ServerSettings(port=0, adapter=(one, f"one={one}")))
    with pytest.raises(ConfigError, match="two of the models would be called 'base'"):
        starting.check([base], ServerSettings(port=0, adapter=(f"base={one}",)))
    with pytest.raises(CheckpointError, match="is no adapter"):
        starting.check([base], ServerSettings(port=0, adapter=(f"x={base}",)))
    found = starting.check([base], ServerSettings(port=0, adapter=(f"polite={one}",)))
    assert found["models"] == ["base", "polite"]
    tiny_lm(seed=5).save(tmp_path / "other")
    served = starting.load(str(tmp_path / "other"), ServerSettings())
    with pytest.raises(CheckpointError, match="trained on another base"):
        starting.adapters_of(served, ServerSettings(adapter=(one,)))
    assert [
        m.name for m in starting.adapters_of(served, ServerSettings(adapter=(one,), another_base=True))
    ] == ["one"]
    served.engine.close()


def test_generate_and_chat_take_an_adapter(
    places: Path, expected: dict[str, LanguageModel], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    words = [str(places / "base"), "--adapter", str(places / "one"), "-n", "8", "--temp", "0"]
    assert cli.run(["generate", *words, "-p", "The"]) == 0
    assert capsys.readouterr().out == expected["polite"].generate("The", max_new_tokens=8) + "\n"
    assert cli.run(["generate", str(places / "base"), "--adapter", str(tmp_path), "-p", "The"]) != 0
    assert "is no adapter" in capsys.readouterr().err
    tiny_lm(seed=5).save(tmp_path / "other")
    words[0] = str(tmp_path / "other")
    assert cli.run(["generate", *words, "-p", "The"]) != 0
    assert "--another-base" in capsys.readouterr().err
    assert cli.run(["generate", *words, "-p", "The", "--another-base"]) == 0
