"""What llama.cpp makes of the GGUF files that Shizuku writes, beside what Shizuku makes of them.

    python benchmarks/gguf_perplexity.py LLAMA_PERPLEXITY MODEL TEXT [--context 512] [--chunks 20]
        [--tokenize LLAMA_TOKENIZE] [--server LLAMA_SERVER]

Exports MODEL (a name or a directory) in each type and prints a Markdown row for it: perplexity by llama.cpp
and here, of the same file, over the same tokens; and how far the file is from the unrounded model. Windows
are llama-perplexity's: pieces of `--context` tokens, of which the second half is scored, each piece's first
token replaced by the start token where the vocabulary asks for one. `here` computes in float32 with the
dequantised weights; the native library and llama.cpp round what they multiply them with to eight bits.
With --tokenize, the ids of strings that tokenizers trip over are compared too; with --server, the rendered
chat template.
"""

import argparse
import ast
import json
import math
import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import torch

from shizuku.checkpoints.directory import Checkpoint, load_checkpoint, resolve
from shizuku.checkpoints.gguf import write_gguf
from shizuku.checkpoints.packed import open_packed
from shizuku.inference.native import NativeRuntime
from shizuku.inference.runtime import Span
from shizuku.models.decoder import Decoder
from shizuku.text.tokenizer import Tokenizer

COLUMNS = (
    "type", "bytes", "llama.cpp", "here, same file", "difference", "here against float32",
    "native, 8-bit activations", "native against here",
)  # fmt: skip
MESSAGES = [
    {"role": "system", "content": "You answer in one word."},
    {"role": "user", "content": "  駅はどこ? <|im_end|>\n"},
    {"role": "assistant", "content": "北。"},
    {"role": "user", "content": "And \"the\" mill?"},
]  # fmt: skip


def main() -> None:
    """Compare, and print a Markdown row for each type."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("binary", help="llama-perplexity")
    parser.add_argument("model")
    parser.add_argument("text", type=Path)
    parser.add_argument("--context", type=int, default=512)
    parser.add_argument("--chunks", type=int, default=20)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--types", nargs="+", default=["f32", "f16", "q8_0"])
    parser.add_argument("--tokenize", help="llama-tokenize")
    parser.add_argument("--server", help="llama-server")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    whole = load_checkpoint(resolve(given.model))
    assert whole.tokenizer is not None, "llama.cpp needs a tokenizer"
    text = given.text.read_text(encoding="utf-8").removesuffix("\n")  # llama.cpp drops one, so here too
    pieces = windows(whole.tokenizer, text, given.context, given.chunks)
    exact = perplexity(whole.model, pieces)
    print(f"{given.model}, {given.text.name}: {len(pieces)} pieces of {given.context} tokens; {exact:.4f}")
    print("| " + " | ".join(COLUMNS) + " |\n" + "|---" * len(COLUMNS) + "|")
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "text.txt"
        plain.write_text(text, encoding="utf-8")
        for kind in given.types:
            file = Path(folder) / f"{kind}.gguf"
            write_gguf(file, whole.model.config, whole.model.state_dict(), whole.tokenizer, kind)
            here = perplexity(load_checkpoint(file).model, pieces)
            theirs = perplexity_of_llama(given, file, plain)
            native = native_perplexity(file, pieces, given.threads)
            figures = f"{theirs:.4f} | {here:.4f} | {theirs / here - 1:+.3%} | {here / exact - 1:+.3%}"
            rounded = f"{native:.4f} | {native / here - 1:+.3%}"
            print(f"| {kind} | {file.stat().st_size:,} | {figures} | {rounded} |", flush=True)
        if given.tokenize:
            compare_ids(given.tokenize, file, whole.tokenizer, Path(folder) / "string.txt")
        if given.server:
            compare_template(given.server, file, whole)


def windows(tokenizer: Tokenizer, text: str, context: int, most: int) -> torch.Tensor:
    """Pieces [N, T] of the text's ids as llama-perplexity cuts them, start tokens included."""
    start = [tokenizer.bos_id] if tokenizer.settings.get("add_bos_token") else []
    ids = torch.tensor([*start, *tokenizer.encode(text)])
    pieces = ids[: len(ids) // context * context].view(-1, context)[:most].clone()
    if start:
        pieces[:, 0] = start[0]
    return pieces


@torch.no_grad()
def perplexity(model: Decoder, pieces: torch.Tensor) -> float:
    """Of the tokens after the middle one of each piece, given all before them."""
    first, total, count = pieces.shape[1] // 2, 0.0, 0
    for piece in pieces.split(1):
        logp = model(piece)[0, first:-1].log_softmax(-1)
        total -= float(logp.gather(1, piece[0, first + 1 :, None]).double().sum())
        count += len(logp)
    return math.exp(total / count)


def native_perplexity(file: Path, pieces: torch.Tensor, threads: int) -> float:
    """The same by the native library, as `generate` computes."""
    found = open_packed(file)
    running = NativeRuntime(found.config, found.tensors, threads=threads)
    running.reserve(-(-pieces.shape[1] // running.block_tokens))
    first, total, count = pieces.shape[1] // 2, 0.0, 0
    for piece in pieces:
        logits = torch.from_numpy(running.forward([Span(piece.tolist(), 0, range(running.blocks), "all")]))
        logp = logits[first:-1].log_softmax(-1)
        total -= float(logp.gather(1, piece[first + 1 :, None]).double().sum())
        count += len(logp)
    return math.exp(total / count)


def perplexity_of_llama(given: argparse.Namespace, file: Path, text: Path) -> float:
    """What llama-perplexity prints at the end; asked again where its log lost that line."""
    command = [given.binary, "-m", str(file), "-f", str(text), "-c", str(given.context), "--no-escape"]
    command += ["--chunks", str(given.chunks), "-t", str(given.threads), "-b", str(given.context)]
    for _ in range(5):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        found = re.search(r"Final estimate: PPL = ([0-9.]+)", done.stdout + done.stderr)
        if found is not None:
            return float(found[1])
        if done.returncode:
            break
    sys.exit(f"{' '.join(command)} failed:\n{(done.stdout + done.stderr)[-2000:]}")


def compare_ids(binary: str, file: Path, tokenizer: Tokenizer, place: Path) -> None:
    """Say for how many strings llama-tokenize gives the ids that the tokenizer gives."""
    sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "text"))
    import fuzz

    strings = [
        *fuzz.strings(150, seed=3),
        *fuzz.WORDS,
        "吾輩は猫である。名前はまだ無い。\n\n駅前で12本、買う。",
    ]
    different = []
    for string in filter(None, strings):
        place.write_bytes(string.encode())
        for control in (False, True):
            command = [binary, "-m", str(file), "-f", str(place), "--ids", "--no-bos", "--no-escape"]
            command += ["--log-disable"] + ([] if control else ["--no-parse-special"])
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            if ast.literal_eval(done.stdout.strip()) != tokenizer.encode(string, control=control):
                different.append((string, control))
    print(
        f"\nllama-tokenize: {len(strings)} strings, with and without control tokens; {len(different)} differ"
    )
    for string, control in different[:10]:
        print(f"- {string!r}, control={control}")


def compare_template(binary: str, file: Path, whole: Checkpoint) -> None:
    """Say whether llama-server renders a conversation as the tokenizer does."""
    tokenizer = whole.tokenizer
    if tokenizer is None or tokenizer.chat_template is None:
        print("no chat template")
        return
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [binary, "-m", str(file), "--host", "127.0.0.1", "--port", str(port), "--jinja", "-c", "256"]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(200):
            time.sleep(0.3)
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).close()
                break
            except OSError:
                assert server.poll() is None, f"{' '.join(command)} ended by itself"
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/apply-template",
            json.dumps({"messages": MESSAGES}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as answer:
            theirs = json.load(answer)["prompt"]
    finally:
        server.terminate()
        server.wait()
    ours = tokenizer.render_chat(MESSAGES)
    print(f"llama-server's chat template {'renders the same' if theirs == ours else 'DIFFERS'}")
    if theirs != ours:
        print(f"theirs {theirs!r}\nours   {ours!r}")


if __name__ == "__main__":
    main()
