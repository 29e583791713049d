"""Memory and time of training byte-level BPE, ours beside the bare `tokenizers` library, and encoding.

    SHIZUKU_DATA=... python benchmarks/tokenizer_training.py WORK_FOLDER
    SHIZUKU_DATA=... python benchmarks/tokenizer_training.py WORK_FOLDER --megabytes 512

The text is made by `varied_text.py`, half of it Japanese, and no part of it twice. Each training runs in a
process of its own, the two kinds in turn; memory is the peak of that process, and its processor time is what
other work on the machine changes least. Ours is the whole command, which also encodes 4 MB to measure what it
learned. Without --megabytes: three trainings of each on 32 MB, then encoding of 4 MB by both. With it: one of
ours on that much.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import varied_text

VOCABULARY = 32_768
ROUNDS, ENCODED = 3, 2_000_000

BARE = """
import json, sys
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from shizuku.text.pretokenizers import OWN, PATTERNS
def texts():
    for name in sys.argv[3:]:
        with open(name, encoding="utf-8") as file:
            for line in file:
                yield json.loads(line)["text"]
backend = Tokenizer(models.BPE())
splits = [pre_tokenizers.Split(Regex(pattern), "isolated") for pattern in PATTERNS[OWN]]
spelled = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
backend.pre_tokenizer = pre_tokenizers.Sequence([*splits, spelled])
backend.decoder = decoders.ByteLevel()
trainer = trainers.BpeTrainer(vocab_size=int(sys.argv[1]), min_frequency=2, show_progress=False,
                              initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
backend.train_from_iterator(texts(), trainer)
backend.save(sys.argv[2])
"""


def train_ours(files: list[Path], out: Path) -> tuple[float, float, int]:
    """Seconds, processor seconds and peak bytes of `shizuku tokenizer train`."""
    words = [sys.executable, "-m", "shizuku", "tokenizer", "train", "--text", *map(str, files)]
    return _measured([*words, "--vocab-size", str(VOCABULARY), "--out", str(out)])


def train_bare(files: list[Path], out: Path) -> tuple[float, float, int]:
    """The same three of the same vocabulary trained with the library alone."""
    out.mkdir(parents=True, exist_ok=True)
    target = str(out / "tokenizer.json")
    return _measured([sys.executable, "-c", BARE, str(VOCABULARY), target, *map(str, files)])


def _measured(command: list[str]) -> tuple[float, float, int]:
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    _, status, used = os.wait4(process.pid, 0)
    if status != 0:
        raise SystemExit(f"training failed: {process.stderr.read().decode() if process.stderr else ''}")
    return time.perf_counter() - start, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024


def side_by_side(work: Path, megabytes: int) -> None:
    """Print the rows of training and encoding beside the bare library."""
    files = list(varied_text.write(work / f"{megabytes}", megabytes).values())
    runs: dict[str, list[tuple[float, float, int]]] = {"ours": [], "bare": []}
    for _ in range(ROUNDS):
        runs["ours"].append(train_ours(files, work / "ours"))
        runs["bare"].append(train_bare(files, work / "bare"))
    print(f"| training on {megabytes} MB | seconds | processor seconds | peak, MB |\n|---|---|---|---|")
    for name, measured in runs.items():
        wall, processor, peaks = zip(*measured, strict=True)
        middle = f"{statistics.median(wall):.1f} | {statistics.median(processor):.1f}"
        print(f"| {name} | {middle} | {max(peaks) / 1e6:,.0f} |")
    for place, what in ((0, "seconds"), (1, "processor seconds")):
        pairs = zip(runs["ours"], runs["bare"], strict=True)
        ratio = statistics.median(bare[place] / ours[place] for ours, bare in pairs)
        print(f"\nbare / ours, {what}, median of {ROUNDS} pairs: {ratio:.2f}")
    print()
    encoding(work, files)


def encoding(work: Path, files: list[Path]) -> None:
    """Print how much faster or slower our encoding is than that of the library with the same vocabulary."""
    import tokenizers

    from shizuku.text.tokenizer import Tokenizer

    ours = Tokenizer.load(work / "ours")
    bare = tokenizers.Tokenizer.from_file(str(work / "ours" / "tokenizer.json"))
    texts: list[str] = []
    for file in files:
        with file.open(encoding="utf-8") as lines:
            some = [json.loads(line)["text"] for _, line in zip(range(ENCODED // 3000), lines, strict=False)]
        texts += some
    jobs: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
        "batch": (
            lambda: ours.encode_batch(texts),
            lambda: [e.ids for e in bare.encode_batch_fast(texts, add_special_tokens=False)],
        ),
        "one by one": (
            lambda: [ours.encode(text) for text in texts],
            lambda: [bare.encode(text, add_special_tokens=False).ids for text in texts],
        ),
    }
    assert ours.encode_batch(texts) == [e.ids for e in bare.encode_batch(texts, add_special_tokens=False)]
    print("| encoding 4 MB, processor seconds | ours | bare | bare / ours |\n|---|---|---|---|")
    for name, (mine, theirs) in jobs.items():
        pairs = [(_seconds(mine), _seconds(theirs)) for _ in range(7)]
        ratio = statistics.median(b / o for o, b in pairs)
        ours_seconds, bare_seconds = (statistics.median(column) for column in zip(*pairs, strict=True))
        print(f"| {name} | {ours_seconds:.2f} | {bare_seconds:.2f} | {ratio:.2f} |")


def _seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work", type=Path, help="folder for texts and vocabularies")
    parser.add_argument("--megabytes", type=int, help="train ours once on this many million bytes")
    parser.add_argument("--beside", type=int, default=32, help="million bytes to train both on")
    arguments = parser.parse_args()
    if arguments.megabytes is None:
        side_by_side(arguments.work, arguments.beside)
        return
    start = time.perf_counter()
    made = list(varied_text.write(arguments.work / "large", arguments.megabytes).values())
    writing = time.perf_counter() - start
    seconds, processor, peak = train_ours(made, arguments.work / "large_tokenizer")
    print("| text, MB | made in, s | training, s | processor, s | peak, MB |\n|---|---|---|---|---|")
    print(f"| {arguments.megabytes} | {writing:.0f} | {seconds:.0f} | {processor:.0f} | {peak / 1e6:,.0f} |")


if __name__ == "__main__":
    main()
