"""`shizuku serve` as a process: what it prints, how it begins, how it ends."""

import json
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from live_server import endless

from shizuku import cli
from tiny_language_model import tiny_lm

# Some seconds of work for the small model.
LONG = {"max_tokens": 8000, "logprobs": 20}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny_lm(context=8192).save(tmp_path_factory.mktemp("models") / "tiny"))


@contextmanager
def process(*words: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """A server of its own, and the object that it prints when it is ready."""
    command = [sys.executable, "-m", "shizuku", "serve", *words, "--port", "0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as found:
        try:
            assert found.stdout is not None and found.stderr is not None
            line = found.stdout.readline()
            assert line, found.stderr.read()
            yield found, json.loads(line)
        finally:
            found.kill()


def ask(url: str, body: Any = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(url, data), timeout=20) as answer:
        return json.load(answer)


def call(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    try:
        code: Any = cli.run(["serve", *words])
    except SystemExit as ended:  # of the parser of flags
        code = ended.code
    out, err = capsys.readouterr()
    return code, out, " ".join(err.split())


def test_it_says_where_it_is_and_ends_when_told(model: str) -> None:
    for which in (signal.SIGTERM, signal.SIGINT):
        with process(f"mine={model}", "--drain-seconds", "5") as (server, ready):
            assert set(ready) == {"url", "models", "pid"}
            assert (ready["models"], ready["pid"]) == (["mine"], server.pid)
            assert ask(ready["url"] + "/health") == {"status": "ok"}
            server.send_signal(which)
            assert server.wait(10) == 0
            assert server.stdout is not None and server.stdout.read() == ""
            assert server.stderr is not None and "Traceback" not in server.stderr.read()


def test_streams_end_properly_when_the_server_does(model: str) -> None:
    """One that ends in time is finished; one that does not is told so, as its last event."""
    with process(model, "--drain-seconds", "0.4") as (server, ready):
        events: dict[str, list[str]] = {"short": [], "long": []}

        def read(name: str, **more: Any) -> None:
            body = {"prompt": "The cat", "stream": True, **endless(), **more}
            request = urllib.request.Request(ready["url"] + "/v1/completions", json.dumps(body).encode())
            with urllib.request.urlopen(request, timeout=30) as answer:
                for line in answer:
                    if line.strip():
                        events[name].append(line.decode().removeprefix("data: ").strip())

        threads = [
            threading.Thread(target=read, args=("short",), kwargs={"max_tokens": 60}),
            threading.Thread(target=read, args=("long",), kwargs=LONG),
        ]
        for thread in threads:
            thread.start()
        while not all(len(found) > 2 for found in events.values()):
            time.sleep(0.01)
        server.terminate()
        for thread in threads:
            thread.join(20)
        assert server.wait(10) == 0
        assert server.stderr is not None and "Traceback" not in server.stderr.read()
    assert events["short"][-1] == events["long"][-1] == "[DONE]"
    assert json.loads(events["short"][-2])["choices"][0]["finish_reason"] == "length"
    assert json.loads(events["long"][-2])["error"]["code"] == "shutting_down"


def test_nobody_new_is_let_in_while_it_ends_and_a_second_word_ends_it(model: str) -> None:
    with process(model, "--drain-seconds", "60") as (server, ready):
        address = ready["url"].removeprefix("http://").split(":")
        body = json.dumps({"prompt": "The cat", "stream": True, **endless(), **LONG}).encode()
        head = f"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
        with closing(socket.create_connection((address[0], int(address[1])), timeout=10)) as connection:
            connection.sendall(head.encode() + body)
            assert connection.recv(100).startswith(b"HTTP/1.1 200")
            server.send_signal(signal.SIGINT)
            time.sleep(0.5)
            assert server.poll() is None
            with pytest.raises(urllib.error.URLError, match="refused"):
                ask(ready["url"] + "/health")
            begun = time.monotonic()
            server.send_signal(signal.SIGINT)
            assert server.wait(5) == 130
            assert time.monotonic() - begun < 2


def test_the_server_does_without_torch(model: str) -> None:
    """On a packed model: the native step, numpy and tokenizers are enough."""
    pytest.importorskip("shizuku.quantization.native.library")
    code = (
        "import sys, threading\n"
        "from shizuku.serving import starting\n"
        "from shizuku.serving.settings import ServerSettings\n"
        f"served = starting.load({model!r}, ServerSettings())\n"
        "assert type(served.lm.runtime).__name__ == 'NativeRuntime', served.lm.runtime\n"
        "from shizuku.serving.app import build\n"
        "from shizuku.serving.served import Registry\n"
        "build(Registry([served]), ServerSettings())\n"
        "print(served.card())\n"
        "print('torch' in sys.modules)\n"
    )
    from shizuku.errors import NativeLibraryError
    from shizuku.quantization.native.library import load

    try:
        load()
    except NativeLibraryError as error:
        pytest.skip(str(error))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "False"


def test_a_dry_run_checks_without_loading(
    model: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHIZUKU_API_KEY", "a-key-of-ours")
    code, out, _ = call(
        capsys, model, f"other={model}", "--host", "0.0.0.0", "--port", "0", "--dry-run", "--json"
    )
    found = json.loads(out)
    assert code == 0
    assert (found["models"], found["keys"], found["dry_run"]) == (["tiny", "other"], 1, True)
    code, out, _ = call(capsys, model, "--port", "0", "--dry-run")
    assert (code, out.startswith("would serve tiny at http://127.0.0.1:")) == (0, True)


def test_bad_calls_exit_with_2_and_say_what_to_change(
    model: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SHIZUKU_API_KEY", raising=False)
    with closing(socket.socket()) as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = str(other.getsockname()[1])
        for words, said in (
            ((model, "--port", taken), f"can't listen on 127.0.0.1 port {taken}"),
            ((model, "--host", "256.1.2.3", "--api-key", "long-enough"), "--host 256.1.2.3: no such address"),
            ((model, "--host", "192.0.2.7", "--api-key", "long-enough"), "can't listen on 192.0.2.7"),
            ((model, "--host", "0.0.0.0"), "so it needs a key"),
            ((model, "--port", "70000"), "--port 70000"),
            ((model, "--api-key-file", str(tmp_path / "none")), "--api-key-file"),
            ((model, model, "--port", "0"), "two of the models would be called 'tiny'"),
            ((str(tmp_path / "nothing"), "--port", "0"), "nothing"),
            ((model, "--port", "0", "-c", "99999"), "--context 99999"),
            ((model, "--running", "0"), "--running 0"),
            ((model, "--request-seconds", "-1"), "--request-seconds -1.0"),
        ):
            code, out, err = call(capsys, *words)
            assert (code, out) == (2, ""), (words, err)
            assert said in err


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")
def test_it_listens_where_it_says_alone(model: str) -> None:
    with process(model) as (_, ready):
        port = int(ready["url"].rpartition(":")[2])
        lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
        addresses = {line.split()[1] for line in lines if line.split()[3] == "0A"}
        assert {a for a in addresses if a.endswith(f":{port:04X}")} == {f"0100007F:{port:04X}"}
