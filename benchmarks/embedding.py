"""Vectors of sentences: our encoder beside transformers' BertModel, the same weights, in one process.

    python benchmarks/embedding.py [all-minilm-l6-v2] [--texts 256] [--rounds 5] [--threads 1]

Both read sentences of the town, sorted by length, in batches of 2,048 tokens at most; rounds alternate, and
the median counts. The largest difference of the vectors is printed too.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence

import numpy as np
import torch
import transformers

import shizuku
from shizuku.checkpoints.names import resolve
from shizuku.data.town import town_documents

AT_ONCE = 2048


def sentences(count: int) -> list[str]:
    """First lines of English documents."""
    found = (
        one.text.split("\n")[0][:300] for one in town_documents(megabytes=0.5, seed=0) if one.language == "en"
    )
    return list(dict.fromkeys(found))[:count]


def theirs(name: str) -> Callable[[Sequence[str]], np.ndarray]:
    """The mean vectors of transformers' model, of length one."""
    path = resolve(name)
    model = transformers.BertModel.from_pretrained(path).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(path)

    @torch.inference_mode()
    def embed(texts: Sequence[str]) -> np.ndarray:
        lengths = [len(ids) for ids in tokenizer(list(texts))["input_ids"]]
        order, found, group = sorted(range(len(texts)), key=lambda n: -lengths[n]), {}, []
        for number in [*order, None]:
            if number is not None and (not group or lengths[group[0]] * (len(group) + 1) <= AT_ONCE):
                group.append(number)
                continue
            given = tokenizer([texts[n] for n in group], padding=True, return_tensors="pt")
            mask_NT1 = given["attention_mask"][..., None]
            sums_ND = (model(**given).last_hidden_state * mask_NT1).sum(1)
            found.update(zip(group, torch.nn.functional.normalize(sums_ND).numpy(), strict=True))
            group = [number]
        return np.stack([found[n] for n in range(len(texts))])

    return embed


def main(arguments: list[str] | None = None) -> dict[str, float]:
    """Measure and print one JSON object."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", nargs="?", default="all-minilm-l6-v2")
    parser.add_argument("--texts", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args(arguments)
    torch.set_num_threads(given.threads)
    texts = sentences(given.texts)
    ways = {"ours": shizuku.load(given.model).embed, "transformers": theirs(given.model)}
    vectors = {name: embed(texts) for name, embed in ways.items()}
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(given.rounds):
        for name, embed in ways.items():
            begun = time.perf_counter()
            embed(texts)
            seconds[name].append(time.perf_counter() - begun)
    middle = {name: statistics.median(each) for name, each in seconds.items()}
    found = {f"{name}, texts a second": len(texts) / each for name, each in middle.items()}
    found |= {"times as fast": middle["transformers"] / middle["ours"], "texts": len(texts)}
    found |= {"largest difference": float(np.abs(vectors["ours"] - vectors["transformers"]).max())}
    print(json.dumps(found, indent=1))
    return found


if __name__ == "__main__":
    main()
