"""`torchrun -m shizuku tune`: the run of one process, its rows shared out."""

import json
import sys

import pytest

import shizuku
from shizuku import cli
from shizuku.checkpoints.directory import save_checkpoint
from tiny_language_model import tiny_model, tokenizer
from torchrun import start

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="torchrun on gloo is for Linux and macOS"),
]


@pytest.mark.parametrize(
    "how",
    [[], ["--loop.parallel", "fsdp"], ["--lora.rank", "2", "--base", "int4"]],
    ids=["data", "fsdp", "adapter on a base that is rounded here"],
)
def test_two_processes_tune_as_one_does(how, tmp_path, capsys) -> None:
    base, chats = tmp_path / "base", tmp_path / "chats.jsonl"
    save_checkpoint(base, model=tiny_model(tokenizer().vocab_size), tokenizer=tokenizer())
    turns = [("user", "{0} and {1}?"), ("assistant", "{1}, then {0}.")]
    records = [
        {"messages": [{"role": role, "content": text.format(a, b)} for role, text in turns]}
        for a in range(12)
        for b in range(a)
    ]
    chats.write_text("\n".join(map(json.dumps, records)), encoding="utf-8")

    def command(name: str) -> list[str]:
        flags = ["--steps", "8", "--batch-size", "4", "--samples", "2", "--sample-tokens", "4", "--json"]
        flags += ["--context", "64", "--threads", "1", *how]
        return ["tune", str(base), "--data", str(chats), "--out", str(tmp_path / name), *flags]

    job = start(*command("two"))
    printed, said = job.communicate(timeout=120)
    assert job.returncode == 0, said
    two = json.loads(printed)
    assert cli.run(command("one")) == 0
    one = json.loads(capsys.readouterr().out)
    same = {"seconds", "checkpoint", "tokens_per_second", "learned_tokens_per_second"}
    for key in one.keys() - same:
        assert two[key] == pytest.approx(one[key], rel=1e-5), key
    assert (tmp_path / "two" / "report.html").is_file()
    models = [shizuku.load(tmp_path / name, runtime="torch").model for name in ("one", "two")]
    pairs = zip(*(model.state_dict().values() for model in models), strict=True)
    assert all(a.allclose(b, atol=1e-4) for a, b in pairs)
