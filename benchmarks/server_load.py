"""Many clients at once against `shizuku serve` and llama.cpp's server: throughput, time to first token.

    python benchmarks/server_load.py MODEL.gguf --llama-server PATH --clients 16 --rounds 3

The same file, threads, prompts and numbers of new tokens on both sides, which take turns (each round starts
both anew, the order changing); every client sends its next request as soon as it has its answer. No prompt
begins like another, so that no cache helps. Prints one JSON object: per side the medians over the rounds, and
the ratios.
"""

import argparse
import http.client
import json
import random
import socket
import statistics
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

START_SECONDS = 60.0
# Common words: prompts of a known number of tokens that no two requests share.
WORDS = """
the of and to in a is that for it as was with be by on not he his but at are this have from or had
an they which one you were all her she there would their we him been has when who will no more if
out so said what up its about into than them can only other time new some could these two may
first then do any like my now over such our man me even most made after also did many before must
through years where much your way well
""".split()  # noqa: SIM905


@dataclass(frozen=True)
class Answer:
    """One request as its client saw it, in seconds from when it was sent."""

    first: float
    last: float
    tokens: int


@contextmanager
def started(command: Sequence[str], address: tuple[str, int]) -> Iterator[None]:
    """A server, until it answers, and then until the `with` ends."""
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            until = time.monotonic() + START_SECONDS
            while True:
                assert server.poll() is None and time.monotonic() < until, f"did not start: {command}"
                try:
                    with urllib.request.urlopen(f"http://{address[0]}:{address[1]}/health", timeout=1):
                        break
                except OSError:
                    time.sleep(0.05)
            yield
        finally:
            server.terminate()
            try:
                server.wait(20)
            except subprocess.TimeoutExpired:
                server.kill()


def free_port() -> int:
    """A port that nobody listens on just now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def prompt(dice: random.Random, words: int) -> str:
    """So many words in an order that no other prompt has; about as many tokens."""
    return " ".join(dice.choices(WORDS, k=words)).capitalize()


def ask(address: tuple[str, int], body: dict[str, Any]) -> Answer:
    """Stream one completion."""
    connection = http.client.HTTPConnection(*address, timeout=300)
    begun = time.perf_counter()
    connection.request("POST", "/v1/completions", json.dumps(body), {"Content-Type": "application/json"})
    answer = connection.getresponse()
    assert answer.status == 200, answer.read()
    first, tokens = 0.0, 0
    for line in answer:
        if not line.startswith(b"data: {"):
            continue
        event = json.loads(line[6:])
        if not first and event["choices"] and event["choices"][0]["text"]:
            first = time.perf_counter() - begun
        tokens = (event.get("usage") or {}).get("completion_tokens", tokens)
    connection.close()
    last = time.perf_counter() - begun
    assert tokens and first, "an answer without text or without usage"
    return Answer(first, last, tokens)


def load(
    address: tuple[str, int], asked: argparse.Namespace, seed: int, stops: Sequence[int]
) -> dict[str, float]:
    """All clients at once, each with its requests one after another."""
    answers: list[Answer] = []
    failed: list[BaseException] = []

    def client(number: int) -> None:
        dice = random.Random(f"{seed} {number}")
        try:
            for _ in range(asked.requests):
                body = {
                    "prompt": prompt(dice, asked.prompt_words),
                    "max_tokens": asked.new_tokens,
                    "temperature": 0,
                    "stream": True,
                    "stream_options": {"include_usage": True},
                    "logit_bias": {str(token): -100 for token in stops},
                }
                answers.append(ask(address, body))
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=client, args=(number,)) for number in range(asked.clients)]
    begun = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - begun
    if failed:
        raise failed[0]
    made = sum(answer.tokens for answer in answers)
    assert made == asked.clients * asked.requests * asked.new_tokens, "not every answer has its full length"
    firsts = sorted(answer.first for answer in answers)
    between = [(a.last - a.first) / (a.tokens - 1) for a in answers if a.tokens > 1]
    return {
        "tokens_per_second": made / seconds,
        "first_token_median": statistics.median(firsts),
        "first_token_p95": firsts[min(int(len(firsts) * 0.95), len(firsts) - 1)],
        "seconds_per_token_median": statistics.median(between),
    }


def commands(asked: argparse.Namespace, port: int) -> dict[str, list[str]]:
    """How each side is started."""
    threads, window = str(asked.threads), 2 * (2 * asked.prompt_words + asked.new_tokens)
    ours = [sys.executable, "-m", "shizuku", "serve", asked.model, "--port", str(port), "-t", threads]
    theirs = [
        *(asked.llama_server, "-m", asked.model, "--host", "127.0.0.1", "--port", str(port), "--no-ui"),
        *("-t", threads, "-tb", threads, "-np", str(asked.clients), "-c", str(window * asked.clients)),
    ]
    return {"shizuku": [*ours, "--running", str(asked.clients)], "llama.cpp": theirs}


def main() -> None:
    """Take turns and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("model", help="a .gguf file that both sides read")
    parser.add_argument("--llama-server", required=True, help="the program")
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--requests", type=int, default=3, help="of each client, one after another")
    parser.add_argument("--prompt-words", type=int, default=128, help="of each prompt; about as many tokens")
    parser.add_argument("--new-tokens", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    asked = parser.parse_args()
    from shizuku.text.tokenizer import Tokenizer

    stops = sorted(Tokenizer.load(asked.model).stop_ids)
    found: dict[str, list[dict[str, float]]] = {"shizuku": [], "llama.cpp": []}
    for number in range(asked.rounds):
        port = free_port()
        sides = list(commands(asked, port).items())
        for name, command in sides if number % 2 == 0 else reversed(sides):
            address = ("127.0.0.1", port)
            with started(command, address):
                ask(address, {"prompt": "The", "max_tokens": 4, "stream": True,
                              "stream_options": {"include_usage": True}})  # fmt: skip
                found[name].append(load(address, asked, number, stops))
    medians = {
        name: {key: statistics.median(one[key] for one in rounds) for key in rounds[0]}
        for name, rounds in found.items()
    }
    ratios = {key: medians["shizuku"][key] / medians["llama.cpp"][key] for key in medians["shizuku"]}
    print(
        json.dumps({"settings": vars(asked), "rounds": found, "medians": medians, "ratios": ratios}, indent=1)
    )


if __name__ == "__main__":
    main()
