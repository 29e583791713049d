"""`shizuku attention` as a user types it, and its page in a browser."""

import base64
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shizuku import cli
from shizuku.checkpoints.directory import save_checkpoint
from shizuku.commands.attention import Config
from shizuku.errors import ConfigError
from shizuku.interpretability.maps import attention_maps
from shizuku.interpretability.page import packed
from shizuku.models.architectures import build
from shizuku.models.decoder_config import DecoderConfig
from shizuku.text.prompting import prompt_ids
from shizuku.text.tokenizer import Tokenizer
from small_models import small_model, small_tokenizer

TEXT = "the rain in the roof"


def asked(capsys: Any, checkpoint: Path, *words: str) -> dict[str, Any]:
    assert cli.run(["attention", str(checkpoint), "--json", *words]) == 0
    return json.loads(capsys.readouterr().out)


def data_of(page: Path) -> dict[str, Any]:
    found = re.search(r'id="maps-data">(.*?)</script>', page.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    return json.loads(found[1])


def test_the_page_holds_what_the_model_computes(small_checkpoint: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "new" / "maps.html"
    words = ("--text", TEXT + " </script>", "--from-token", "in", "--to-token", "rain", "--out", str(out))
    result = asked(capsys, small_checkpoint, *words)
    ids = prompt_ids(small_tokenizer(), TEXT + " </script>")
    maps_LHTT = attention_maps(small_model(), ids)
    data = data_of(out)
    assert "".join(data["tokens"][1:]) == TEXT + " </script>" and data["tokens"] == result["tokens"]
    numbers = np.frombuffer(base64.b64decode(data["weights"]), dtype="<u2").reshape(2, 4, -1)
    rows, columns = np.tril_indices(len(ids))
    np.testing.assert_allclose(numbers / 65535, maps_LHTT[:, :, rows, columns], atol=1e-5)
    best = result["ranking"][0]
    source, rain = result["tokens"].index(" in"), result["tokens"].index(" rain")
    assert best["value"] == pytest.approx(maps_LHTT[:, :, source, rain].max(), abs=1e-5)
    assert data["start"] == {
        "layer": best["layer"], "head": best["head"], "source": source, "target": rain,
    }  # fmt: skip
    assert result["row_error"] < 1e-5 and "http" not in re.sub(r"http://www.w3.org\S*", "", out.read_text())


def test_maps_that_look_ahead_are_kept_whole() -> None:
    maps_LHTT = np.full((1, 2, 3, 3), 1 / 3, np.float32)
    whole = np.frombuffer(base64.b64decode(packed(maps_LHTT, causal=False)), dtype="<u2")
    assert whole.tolist() == [21845] * 18


@pytest.mark.parametrize(("ending", "starts"), [("png", b"\x89PNG"), ("svg", b"<svg")])
def test_one_head_as_an_image(
    ending: str, starts: bytes, small_checkpoint: Path, tmp_path: Path, capsys
) -> None:
    out = tmp_path / f"head.{ending}"
    found = asked(
        capsys, small_checkpoint, "--text", "雨 rain", "--layer", "1", "--head", "3", "--out", str(out)
    )
    assert out.read_bytes().startswith(starts)
    expected = attention_maps(small_model(), prompt_ids(small_tokenizer(), "雨 rain"))[1, 3]
    np.testing.assert_allclose(found["weights"], expected, atol=1e-5)
    assert (found["layers"], found["heads"]) == ([1], [3])


@pytest.mark.parametrize("kind", ["patch", "zero", "mean", "resample"])
def test_effects_of_heads(kind: str, small_checkpoint: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / ("effect.png" if kind == "zero" else "effect.html")
    other = () if kind in ("zero", "mean") else ("--other-text", TEXT.replace("rain", "in"))
    words = ("--text", TEXT, "--effect", kind, *other, "--answers", " rain", " town", "--out", str(out))
    effect = asked(capsys, small_checkpoint, *words)["effect"]
    assert np.shape(effect["by_head"]) == (2, 4) and len(effect["heads"]) == 8
    assert (effect["corrupted"] is None) == (kind != "patch")
    assert out.stat().st_size > 5000


def test_known_heads_of_a_model_of_few_characters(tmp_path: Path, capsys) -> None:
    tokenizer = Tokenizer.train(["abcdefgh the rain"], None, kind="characters")
    config = DecoderConfig(
        vocab_size=tokenizer.vocab_size, context=64, width=16, layers=1, heads=2, ffn_width=16
    )
    place = save_checkpoint(tmp_path / "m", model=build(config), tokenizer=tokenizer, run={})
    found = asked(capsys, place, "--text", "rain", "--known")
    assert found["repeated_tokens"] == tokenizer.vocab_size - len(tokenizer.control)


def test_known_heads_and_the_figures_for_people(small_checkpoint: Path, capsys) -> None:
    found = asked(capsys, small_checkpoint, "--text", "rain", "--known")
    assert found["repeated_tokens"] == 15 and len(found["known"]["induction"]) == 8
    assert cli.run(["attention", str(small_checkpoint), "--text", TEXT, "--known"]) == 0
    assert "induction heads" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--text", TEXT, "--out", "maps.svg"], "holds one head"),
        (["--text", TEXT, "--layer", "2"], "layers 0 to 1"),
        (["--text", TEXT, "--from-token", "rain", "--to-token", "roof"], "nothing looks ahead"),
        (
            ["--text", TEXT, "--out", "/proc/nothing/x.html"],
            "a place that can be written, with room (--out)",
        ),
        (["--text", TEXT, "--from-token", "snow"], "no run of tokens writes it"),
        (["--text", TEXT, "--effect", "zero", "--answers", "a", "a"], "must be two"),
        (["--text", "rain " * 40], "more than the model's context"),
        (
            ["--text", TEXT, "--effect", "patch", "--other-text", "rain", "--answers", "a", "b"],
            "as many tokens",
        ),
    ],
)
def test_what_cannot_be_shown_is_refused(
    words: list[str], message: str, small_checkpoint: Path, capsys
) -> None:
    assert cli.run(["attention", str(small_checkpoint), *words]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ({"out": Path("maps.pdf")}, "ends in .html, .png, .svg"),
        ({"to_token": "rain"}, "needs --from-token"),
        ({"effect": "patch", "answers": ("a", "b")}, "needs --other-text"),
        ({"effect": "zero"}, "needs --answers"),
        ({"answers": ("a", "b")}, "are for --effect"),
    ],
)
def test_flags_that_contradict_each_other_are_refused(named: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Config(model="small", text=TEXT, **named).check()


def test_the_page_answers_to_a_reader(small_checkpoint: Path, tmp_path: Path, capsys, chromium: Any) -> None:
    out = tmp_path / "maps.html"
    asked(capsys, small_checkpoint, "--text", TEXT + " 雨", "--from-token", "in", "--to-token", "rain",
          "--out", str(out))  # fmt: skip
    data, said = data_of(out), []
    numbers = np.frombuffer(base64.b64decode(data["weights"]), dtype="<u2").reshape(2, 4, -1) / 65535
    for width in (1280, 390):
        tab = chromium.new_page(viewport={"width": width, "height": 900})
        tab.on("console", lambda message: said.append(message.text))
        tab.on("pageerror", lambda error: said.append(str(error)))
        tab.goto(out.resolve().as_uri())
        assert tab.evaluate("document.documentElement.scrollWidth") == width
        assert tab.locator(".heads button").count() == 8
        tab.locator(".heads button").nth(6).click()
        assert tab.locator(".step span").all_inner_texts() == ["layer 1", "head 2"]
        source = data["tokens"].index(" the")
        tab.locator(f".strip [data-at='{source}']").click()
        target = data["tokens"].index(" rain")
        share = numbers[1, 2, source * (source + 1) // 2 + target]
        assert f"{100 * share:.1f} %" in tab.locator(".facts b").inner_text()
        tab.get_by_role("button", name="matrix").click()
        assert tab.locator(".frame svg rect").count() > len(data["tokens"])
        tab.close()
    assert not said
