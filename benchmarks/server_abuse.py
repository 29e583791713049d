"""Thousands of malformed, oversized, slow and broken-off requests against `shizuku serve` on a micro model.

    python benchmarks/server_abuse.py --examples 150 --broken 4000

Requests made from the server's own OpenAPI document (schemathesis, valid and invalid ones), and a hand-made
set on bare sockets, while a bystander asks the same thing over and over. At the end: no crash, every answer
what the document says or an error of the one shape, the bystander's answers all equal, and nothing left
behind: no sequence, no cache block, no connection, no memory that grows with the number of requests.
"""

import argparse
import json
import random
import socket
import string
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

QUESTION = {"prompt": "The cat", "max_tokens": 8, "temperature": 1.0, "seed": 7}
LIMITS = (
    *("--max-body-bytes", "100000", "--request-seconds", "1", "--body-seconds", "1", "--stall-seconds", "1"),
    *("--max-choices", "4", "--running", "8", "--waiting", "64"),
)
Kind = Callable[[random.Random, "Target"], bytes]


class Target:
    """Where the server is."""

    def __init__(self, url: str, patience: float = 1.0) -> None:
        """`patience` is how many seconds the server waits for the rest of a request."""
        self.url, self.patience = url, patience
        host, _, port = url.removeprefix("http://").rpartition(":")
        self.address = (host, int(port))

    def ask(self, path: str, body: Any = None) -> Any:
        """JSON from a path; HTTPError for an error."""
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(urllib.request.Request(self.url + path, data), timeout=30) as answer:
            return json.load(answer)

    def send(self, *parts: bytes, pause: float = 0.0, wait: float = 3.0, hear: bool = True) -> bytes:
        """Send the parts on a connection of their own; what comes back until the server closes."""
        answer = b""
        with socket.create_connection(self.address, timeout=wait) as connection:
            try:
                for part in parts:
                    connection.sendall(part)
                    time.sleep(pause)
                while hear and (more := connection.recv(65536)):
                    answer += more
            except (TimeoutError, ConnectionError):
                pass
        return answer


# ---- requests made from the document


def fuzz(target: Target, examples: int, seed: int, *, only: str = "") -> Counter[str]:
    """So many valid and so many invalid requests to each operation; AssertionError for a wrong answer."""
    import schemathesis
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis import seed as seeded
    from schemathesis import GenerationMode
    from schemathesis.checks import not_a_server_error
    from schemathesis.specs.openapi import checks as openapi

    checks = [
        not_a_server_error,
        openapi.status_code_conformance,
        openapi.content_type_conformance,
        openapi.response_schema_conformance,
        openapi.negative_data_rejection,
    ]
    schema = schemathesis.openapi.from_url(target.url + "/openapi.json")
    counted: Counter[str] = Counter()
    for found in schema.get_all_operations():
        operation = found.ok()
        if only not in operation.path:
            continue
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            if mode is GenerationMode.NEGATIVE and operation.method != "post":
                continue

            @seeded(seed)
            @settings(
                max_examples=examples,
                deadline=None,
                database=None,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            @given(case=operation.as_strategy(generation_mode=mode))
            def run(case: Any) -> None:
                response = case.call(base_url=target.url, timeout=30)
                case.validate_response(response, checks=checks)
                counted[f"{case.operation.path} {response.status_code}"] += 1

            run()
    return counted


# ---- requests made by hand


def head(length: int, path: str = "/v1/completions", more: str = "") -> bytes:
    """The head of a request that ends its connection."""
    lines = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\nConnection: close\r\n"
    return (lines + more + "\r\n").encode()


def request(body: Any, path: str = "/v1/completions", more: str = "") -> bytes:
    """A whole request."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode("utf-8", "surrogatepass")
    return head(len(data), path, more) + data


def junk(dice: random.Random, depth: int = 0) -> Any:
    """Any JSON value, often an extreme one."""
    kinds: list[Callable[[], Any]] = [
        lambda: None,
        lambda: dice.choice([True, False]),
        lambda: dice.choice([0, -1, 1, 2**31, 2**63, 2**64, -(2**63), 10**40]),
        lambda: dice.choice([0.0, -0.5, 1e308, 1e-308, 5.5]),
        lambda: "".join(dice.choices(string.printable, k=dice.randrange(40))),
        lambda: dice.choice(["", "\x00", "雨" * 200, "\ud800", "a" * 20_000, "<|im_start|>", "\u202e"]),
        lambda: [junk(dice, depth + 1) for _ in range(dice.randrange(4))],
        lambda: {f"k{n}": junk(dice, depth + 1) for n in range(dice.randrange(4))},
        lambda: [dice.randrange(-10, 500) for _ in range(dice.randrange(300))],
    ]
    return dice.choice(kinds[:6] if depth > 3 else kinds)()


CHAT = {
    "messages": [{"role": "user", "content": "The cat"}],
    "max_tokens": 4,
    "temperature": 1,
    "stop": ["a"],
    "logprobs": True,
    "top_logprobs": 2,
    "n": 1,
    "seed": 1,
    "stream": False,
    "logit_bias": {"5": 1},
    "response_format": {"type": "text"},
    "tools": None,
    "stream_options": None,
}
PLAIN = {
    "prompt": "The cat",
    "max_tokens": 4,
    "echo": True,
    "logprobs": 2,
    "n": 1,
    "stop": "a",
    "stream": False,
}
OTHERS = {
    "/v1/embeddings": {"input": "The cat", "encoding_format": "float"},
    "/tokenize": {"text": "The cat"},
    "/detokenize": {"tokens": [5]},
    "/shizuku/attention": {"text": "The cat", "layer": 0, "head": 0},
}
BODIES = {"/v1/chat/completions": CHAT, "/v1/completions": PLAIN, **OTHERS}


def changed_field(dice: random.Random, target: Target) -> bytes:
    path = dice.choice(list(BODIES))
    body = {**BODIES[path]}
    for _ in range(dice.randrange(1, 3)):
        body[dice.choice([*body, "unknown", "user", "model"])] = junk(dice)
    return target.send(request(body, path))


def changed_bytes(dice: random.Random, target: Target) -> bytes:
    path = dice.choice(list(BODIES))
    data = bytearray(request(BODIES[path], path))
    for _ in range(dice.randrange(1, 6)):
        place = dice.randrange(len(data))
        data[place : place + dice.randrange(3)] = dice.randbytes(dice.randrange(3))
    return target.send(bytes(data), wait=2.0)


def noise(dice: random.Random, target: Target) -> bytes:
    return target.send(dice.randbytes(dice.randrange(1, 3000)), b"\r\n\r\n", wait=2.0)


def wrong_length(dice: random.Random, target: Target) -> bytes:
    data = json.dumps(PLAIN).encode()
    return target.send(head(max(len(data) + dice.choice([-20, -1, 50, 10**9, 10**15]), 0)) + data, wait=2.0)


def too_long(dice: random.Random, target: Target) -> bytes:
    return target.send(request({"prompt": "a" * dice.choice([99_000, 101_000, 2_000_000])}))


def too_many_tokens(dice: random.Random, target: Target) -> bytes:
    return target.send(request({"prompt": [5] * dice.choice([127, 128, 129, 20_000]), "max_tokens": 5}))


def bad_chunks(dice: random.Random, target: Target) -> bytes:
    lines = b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    return target.send(lines + dice.choice([b"ZZ\r\nab\r\n", b"5\r\nab", b"-1\r\n", b"fffffffffff\r\na"]))


def broken_head(dice: random.Random, target: Target) -> bytes:
    whole = request(PLAIN)
    return target.send(whole[: dice.randrange(1, len(whole))], hear=False)


def slow(dice: random.Random, target: Target) -> bytes:
    whole = request(PLAIN)
    place = dice.randrange(1, len(whole))
    return target.send(whole[:place], whole[place:], pause=dice.choice([0.05, 1.3 * target.patience]))


def left_early(dice: random.Random, target: Target) -> bytes:
    body = {**PLAIN, "max_tokens": 100, "stream": dice.choice([True, False]), "n": dice.randrange(1, 4)}
    return target.send(request(body), pause=dice.random() * 0.1, hear=False)


def strange_path(dice: random.Random, target: Target) -> bytes:
    method = dice.choice(["GET", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "TRACE", "BREW"])
    path = dice.choice(
        ["/../../etc/passwd", "/v1/models/%2e%2e", "//", "/v1/completions?a=b", "/%00", "/.git", "*"]
    )
    return target.send(f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())


def several_in_a_row(dice: random.Random, target: Target) -> bytes:
    kept = b"POST /tokenize HTTP/1.1\r\nHost: localhost\r\nContent-Length: 12\r\n\r\n" + b'{"text":"a"}'
    return target.send(kept * dice.randrange(2, 20) + request(PLAIN))


KINDS: tuple[Kind, ...] = (
    *(changed_field, changed_field, changed_field, changed_bytes, changed_bytes, noise, wrong_length),
    *(too_long, too_many_tokens, bad_chunks, broken_head, slow, left_early, left_early),
    *(strange_path, several_in_a_row),
)


def broken(target: Target, count: int, seed: int, workers: int = 8) -> Counter[str]:
    """So many hand-made requests; AssertionError for an answer that is a failure of ours, or of no shape."""

    def one(number: int) -> str:
        dice = random.Random(seed * 1_000_003 + number)
        kind = KINDS[number % len(KINDS)]
        said = kind(dice, target)
        first = said.partition(b"\r\n")[0].split(b" ")
        status = first[1].decode() if len(first) > 1 else "nothing"
        assert not status.startswith("5") or status == "503", (number, kind.__name__, said[:2000])
        body = said.rpartition(b"\r\n\r\n")[2]
        if status.startswith("4") and body and not said.startswith(b"HTTP/1.1 405"):
            error = json.loads(body)["error"]
            assert set(error) == {"message", "type", "param", "code"} and error["message"], said[:2000]
        return f"{kind.__name__} {status}"

    with ThreadPoolExecutor(workers) as pool:
        return Counter(pool.map(one, range(count)))


# ---- the others


@contextmanager
def bystander(target: Target) -> Iterator[list[float]]:
    """Somebody who asks the same thing again and again meanwhile; yields how long each answer took."""
    expected, seconds, wrong, over = (
        target.ask("/v1/completions", QUESTION)["choices"],
        [],
        [],
        threading.Event(),
    )

    def ask() -> None:
        while not over.is_set():
            begun = time.monotonic()
            try:
                found = target.ask("/v1/completions", QUESTION)["choices"]
            except urllib.error.HTTPError as error:
                if error.code != 429:
                    wrong.append(error)
                continue
            except OSError as error:
                wrong.append(error)
                continue
            seconds.append(time.monotonic() - begun)
            if found != expected:
                wrong.append(AssertionError(f"{found} instead of {expected}"))
            over.wait(0.05)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield seconds
    finally:
        over.set()
        thread.join(30)
    assert not wrong, wrong[:3]


def idle(target: Target, seconds: float = 10.0) -> dict[str, Any]:
    """The server's own numbers once nothing goes on any more; AssertionError if something stays."""
    until = time.monotonic() + seconds
    while True:
        status = target.ask("/shizuku/status")
        busy = [m for m in status["models"] if m["running"] or m["waiting"] or m["cache_blocks_used"]]
        if not busy:
            return status
        assert time.monotonic() < until, f"something was left behind: {busy}"
        time.sleep(0.1)


def save_micro_model(folder: Path) -> Path:
    """A random model with a window of 128 tokens."""
    import torch

    from shizuku.language_model import LanguageModel
    from shizuku.models.decoder import Decoder
    from shizuku.models.decoder_config import DecoderConfig
    from shizuku.text.tokenizer import Tokenizer

    tokenizer = Tokenizer.train(
        ["The cat sat on the mat. 雨が降っています。 A boat went over the lake. "], 264
    )
    torch.manual_seed(0)
    config = DecoderConfig(
        vocab_size=tokenizer.vocab_size, context=128, width=32, layers=2, heads=4, kv_heads=2, ffn_width=48
    )
    return LanguageModel(Decoder(config), tokenizer).save(folder / "micro")


def measured(process: Any, target: Target) -> dict[str, int]:
    """What the process holds when idle."""
    idle(target)
    time.sleep(2.5)  # connections that are given up for their slowness
    return {"memory": process.memory_info().rss, "files": process.num_fds(), "threads": process.num_threads()}


def main() -> None:
    """Run all and print one JSON object."""
    import psutil

    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--examples", type=int, default=150, help="of each operation and mode")
    parser.add_argument("--broken", type=int, default=4000, help="hand-made requests")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        model = save_micro_model(Path(folder))
        command = [sys.executable, "-m", "shizuku", "serve", str(model), "--port", "0", "--json", *LIMITS]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            try:
                assert server.stdout is not None
                target = Target(json.loads(server.stdout.readline())["url"])
                process = psutil.Process(server.pid)
                broken(target, 400, asked.seed + 1)  # warm: caches, pools and the allocator have their size
                before, begun = measured(process, target), time.monotonic()
                with bystander(target) as seconds:
                    counts = broken(target, asked.broken, asked.seed)
                    counts += fuzz(target, asked.examples, asked.seed)
                took = time.monotonic() - begun
                after = measured(process, target)
                assert server.poll() is None, "the server has ended"
                server.terminate()
                assert server.wait(30) == 0
            finally:
                server.kill()  # where something above has failed it would run on
    seconds.sort()
    print(
        json.dumps(
            {
                "requests": counts.total(),
                "seconds": round(took, 1),
                "answers": dict(sorted(counts.items())),
                "bystander": {
                    "answers": len(seconds),
                    "median_seconds": round(seconds[len(seconds) // 2], 4),
                    "p95_seconds": round(seconds[int(len(seconds) * 0.95)], 4),
                },
                "before": before,
                "after": after,
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
