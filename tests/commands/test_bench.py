"""`shizuku bench`: figures that scripts rely on, and what is refused."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from shizuku import cli
from shizuku.checkpoints.directory import save_checkpoint
from shizuku.inference.speed import Speed, median
from small_models import small_model, small_tokenizer


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of a micro model."""
    place = tmp_path_factory.mktemp("bench") / "micro"
    return save_checkpoint(place, model=small_model(), tokenizer=small_tokenizer())


def figures(*arguments: str) -> dict[str, object]:
    """What the verb prints as JSON, in a process that must not import torch unless asked to."""
    code = (
        "import sys; from shizuku import cli\n"
        "try: cli.main(sys.argv[1:])\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "print('torch' in sys.modules, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "bench", *arguments, "--json"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout)
    found["torch"] = done.stderr.splitlines()[-1] == "True"
    return found


def test_the_figures_of_a_native_run(model: Path) -> None:
    found = figures(str(model), "--prompt-tokens", "24", "--new-tokens", "8", "--rounds", "2", "-t", "1")
    assert found["torch"] is False and found["runtime"] == "NativeRuntime" and found["threads"] == 1
    for key in ("pp24", "tg8", "weight_bytes", "cache_bytes", "bandwidth"):
        assert isinstance(found[key], int | float) and found[key] > 0, key  # type: ignore[operator]
    assert 0 < float(str(found["bandwidth_share"])) < 20  # a micro model lives in the processor's own cache
    assert "memory_bytes" in found


def test_torch_has_no_share_of_the_bandwidth(model: Path) -> None:
    found = figures(
        str(model), "--prompt-tokens", "8", "--new-tokens", "2", "--rounds", "1", "--runtime", "torch"
    )
    assert found["torch"] is True and found["bandwidth_share"] is None


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--rounds", "0"], "--rounds 0"),
        (["--prompt-tokens", "1000000"], "--prompt-tokens 1000000: expected 1 to"),
        (["--new-tokens", "-1"], "--new-tokens -1"),
    ],
)
def test_what_cannot_be_measured(
    model: Path, flags: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main(["bench", str(model), *flags])
    assert end.value.code == 2 and said in capsys.readouterr().err


def test_medians() -> None:
    assert median([Speed(1.0, 9.0), Speed(3.0, 7.0), Speed(2.0, 8.0)]) == Speed(2.0, 8.0)


def test_a_short_context_shortens_what_is_measured(model: Path) -> None:
    found = figures(str(model), "--rounds", "1")
    assert {"pp32", "tg32"} <= set(found)
