"""`shizuku eval`: perplexity and bits per byte over a whole text, or BLEU over pairs of sentences."""

import math
import time
from dataclasses import dataclass
from pathlib import Path

from shizuku.commands.generation_flags import ModelFlags
from shizuku.errors import ConfigError


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(ModelFlags):
    """Perplexity and bits per byte over a whole text, every token scored exactly once; of a translation model
    BLEU over pairs of sentences.
    """

    text: tuple[Path, ...] = ()
    """Files or folders of text: .txt, .md, .jsonl (plain, .gz, .zst), .parquet."""
    source: Path | None = None
    """Of a translation model: sentences to translate, one a line (.gz too)."""
    target: Path | None = None
    """Their translations by people, line by line (extra: translation)."""
    beams: int = 4
    """Of a translation model: beginnings that are kept at each step."""
    field: str = "text"
    """Field that holds the text in JSONL and Parquet."""
    window: int | None = None
    """Tokens that the model sees at once; none: its context, at most 1024."""
    stride: int | None = None
    """Tokens by which the window moves on; none: half the window. Smaller is slower and a little better."""


def run(config: Config) -> dict[str, object]:
    """Evaluate; tokens, bytes, perplexity, bits per byte, and how they were measured."""
    config.chosen()
    if (config.source is None) != (config.target is None):
        raise ConfigError("--source and --target: both or neither")
    if bool(config.text) == (config.source is not None):
        raise ConfigError("say what to evaluate on: --text, or of a translation model --source and --target")
    if config.source is not None and config.target is not None:
        return _translated(config, config.source, config.target)
    from shizuku.progress import say
    from shizuku.text.documents import read_documents
    from shizuku.text.problems import Problems

    problems = Problems()
    documents = list(read_documents(config.text, field=config.field, problems=problems))
    if problems:
        say(problems.report())
    lm = config.load()

    from shizuku.evaluation.perplexity import evaluate_text

    begun = time.perf_counter()
    found = evaluate_text(lm, documents, window=config.window, stride=config.stride)
    seconds = time.perf_counter() - begun
    return {
        "tokens": found.tokens,
        "bytes": found.bytes,
        "perplexity": found.perplexity if math.isfinite(found.perplexity) else None,
        "bits_per_byte": found.bits_per_byte,
        "nats": found.nats,
        "documents": found.documents,
        "unscored_tokens": found.unscored_tokens,
        "window": found.window,
        "stride": found.stride,
        "seconds": round(seconds, 3),
        "tokens_per_second": round(found.tokens / seconds, 2),
    }


def _translated(config: Config, source: Path, target: Path) -> dict[str, object]:
    from shizuku.evaluation.bleu import evaluate_translation
    from shizuku.progress import say
    from shizuku.text.bitext import read_pairs
    from shizuku.text.problems import Problems
    from shizuku.translation import Translator

    problems = Problems()
    pairs = read_pairs(source, target, problems=problems)
    if problems:
        say(problems.report())
    translator = Translator.load(config.chosen(), threads=config.threads)
    found = evaluate_translation(translator, pairs, beams=config.beams)
    return {
        "bleu": found.bleu.score,
        "signature": found.bleu.signature,
        "precisions": list(found.bleu.precisions),
        "brevity_penalty": found.bleu.brevity_penalty,
        "beams": config.beams,
        "nats_per_token": found.nats_per_token,
        "pairs": found.pairs,
        "tokens": found.target_tokens,
        "seconds": round(found.seconds, 3),
    }


def show(result: dict[str, object]) -> None:
    """The two measures first, then what they were taken on and how."""
    if "bleu" in result:
        print(f"BLEU            {result['bleu']:.2f}   {result['signature']}")
        print(f"nats a token    {result['nats_per_token']:.4f} of the references")
        print(f"pairs           {result['pairs']:,} ({result['tokens']:,} target tokens)")
        print(f"translated in   {result['seconds']:,} s with {result['beams']} beams")
        return
    perplexity = result["perplexity"]
    print(f"perplexity      {'above 1e304' if perplexity is None else format(perplexity, ',.3f')} a token")
    print(f"bits per byte   {result['bits_per_byte']:.4f}")
    print(f"tokens          {result['tokens']:,} in {result['documents']:,} documents")
    print(f"bytes           {result['bytes']:,}")
    print(f"window, stride  {result['window']:,}, {result['stride']:,} tokens; every token scored once")
    if result["unscored_tokens"]:
        print(f"not scored      {result['unscored_tokens']:,} first tokens, for want of a start token")
    print(f"speed           {result['tokens_per_second']:,} tokens/s")
