"""What `docs/serving.md` prints runs as printed, on a small model under the name that it uses."""

import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from live_server import Live, running

from conftest import unavailable
from shizuku import cli
from shizuku.serving.schemas import ChatRequest, CompletionRequest
from shizuku.serving.settings import ServerSettings
from tiny_language_model import tiny_lm

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "serving.md").read_text(encoding="utf-8")
ADDRESS, MODEL = "http://127.0.0.1:8080", "smollm2-135m-instruct"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, flags=re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def live() -> Iterator[Live]:
    with running({MODEL: tiny_lm(context=1024)}) as found:
        yield found


def test_the_python_that_is_printed_runs(live: Live, capsys: pytest.CaptureFixture[str]) -> None:
    code = "\n".join(blocks("python"))
    assert code.count(ADDRESS) == 1 and code.count(MODEL) == 5
    exec(compile(code.replace(ADDRESS, live.url), "serving.md", "exec"), {})  # noqa: S102
    *_, animal, call, score = capsys.readouterr().out.rstrip("\n").split("\n")
    assert animal in ("cat", "dog") and call.startswith("describe {'animal'")
    ids = tiny_lm().prompt_ids("The cat sat on the mat")
    assert float(score) == pytest.approx(tiny_lm().score([ids[1:]])[0].logprob, abs=1e-4)


def test_the_commands_that_are_printed_run(live: Live) -> None:
    if shutil.which("curl") is None:
        unavailable("curl is not here")
    lines = [line for block in blocks("bash") for line in block.splitlines()]
    asked = [line for line in lines if line.startswith("curl")]
    assert len(asked) == 4
    for line in asked:
        words = shlex.split(line.replace(ADDRESS, live.url))
        done = subprocess.run([*words, "-s", "--fail-with-body"], capture_output=True, check=False)
        assert done.returncode == 0, (line, done.stdout)
        assert json.loads(done.stdout)["object"] in ("chat.completion", "text_completion", "list")
    for line in lines:
        if line.startswith("shizuku"):
            words = shlex.split(line, comments=True)[2:]
            assert isinstance(cli.parse(ServerSettings, "serve", words), ServerSettings)


def test_every_field_and_limit_is_documented() -> None:
    for form in (ChatRequest, CompletionRequest):
        for name in form.model_fields:
            assert f"`{name}`" in PAGE or f"`{name}." in PAGE, name
    defaults = ServerSettings()
    for name in ("running", "waiting", "max_choices", "request_seconds", "body_seconds", "stall_seconds"):
        assert f"`--{name.replace('_', '-')}` {getattr(defaults, name):g}" in PAGE, name
