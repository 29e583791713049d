"""`shizuku eval`: perplexity and bits per byte over a whole text, or BLEU over pairs of sentences."""

import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from shizuku.commands.generation_flags import ModelFlags
from shizuku.errors import ConfigError, DocumentError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shizuku.language_model import LanguageModel
    from shizuku.text.documents import Document


OF_TEXT = "baseline window stride context runtime cache speculative_tokens draft".split()  # noqa: SIM905
"""Settings that translation models have no use for."""


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
    baseline: str | None = None
    """Another model, such as a counted one (`train --architecture ngram`),
    measured on the same text: the difference in bits per byte, with an interval over documents."""


def run(config: Config) -> dict[str, object]:
    """Evaluate; tokens, bytes, perplexity, bits per byte, and how they were measured.

    Of a model that fills in hidden tokens pseudo_perplexity and pseudo_bits_per_byte stand there instead.
    """
    config.chosen()
    _check(config)
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
    lm.require("score")

    if "fill" in lm.capabilities:
        if config.baseline is not None:
            raise ConfigError(
                "--baseline: a model that sees what comes after each token has no bits per byte to compare"
            )
        return _pseudo(lm, documents, config)

    from shizuku.evaluation.perplexity import DEFAULT_WINDOW, evaluate_text

    other, window = None, config.window
    if config.baseline is not None:
        from shizuku.language_model import LanguageModel

        other = LanguageModel.load(config.baseline, threads=config.threads)
        window = window or min(lm.context, other.context, DEFAULT_WINDOW)  # both see as much
    begun = time.perf_counter()
    found = evaluate_text(lm, documents, window=window, stride=config.stride)
    seconds = time.perf_counter() - begun
    beside: dict[str, object] = {}
    if other is not None:
        theirs = evaluate_text(other, documents, window=window, stride=config.stride)
        beside = {
            "baseline": config.baseline,
            "baseline_bits_per_byte": theirs.bits_per_byte,
            "bits_per_byte_saved": asdict(found.less_than(theirs)),
        }
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
        **beside,
    }


def _pseudo(lm: "LanguageModel", documents: "Sequence[Document]", config: Config) -> dict[str, object]:
    """Of a model that fills in hidden tokens: the same questions, under names of their own."""
    from shizuku.evaluation.pseudo_perplexity import evaluate_pseudo

    if config.stride is not None:
        raise ConfigError(
            f"--stride {config.stride}: this model fills in hidden tokens, and its windows lie end to end: "
            "leave it out"
        )
    begun = time.perf_counter()
    found = evaluate_pseudo(lm, documents, window=config.window)
    seconds = time.perf_counter() - begun
    return {
        "tokens": found.tokens,
        "bytes": found.bytes,
        "pseudo_perplexity": found.pseudo_perplexity if math.isfinite(found.pseudo_perplexity) else None,
        "pseudo_bits_per_byte": found.pseudo_bits_per_byte,
        "nats": found.nats,
        "documents": found.documents,
        "window": found.window,
        "seconds": round(seconds, 3),
        "tokens_per_second": round(found.tokens / seconds, 2),
    }


def _check(config: Config) -> None:
    if (config.source is None) != (config.target is None):
        raise ConfigError("--source and --target: both or neither")
    if bool(config.text) == (config.source is not None):
        raise ConfigError("say what to evaluate on: --text, or of a translation model --source and --target")
    if config.source is None:
        return
    plain = ModelFlags()
    odd = [name for name in OF_TEXT if getattr(config, name) != getattr(plain, name, None)]
    if odd:
        flags = ", ".join("--" + name.replace("_", "-") for name in odd)
        raise ConfigError(f"{flags}: for models that are measured on --text, not on pairs: leave it out")


def _translated(config: Config, source: Path, target: Path) -> dict[str, object]:
    from shizuku.evaluation.bleu import evaluate_translation
    from shizuku.progress import say
    from shizuku.text.bitext import read_pairs
    from shizuku.text.problems import Problems
    from shizuku.translation import Translator

    problems = Problems()
    translator = Translator.load(config.chosen(), threads=config.threads)
    pairs = []
    for pair in read_pairs(source, target, problems=problems):
        if max(map(translator.tokens, pair)) > translator.context:
            problems.add(f"one side is longer than the window of {translator.context} tokens", pair[0][:40])
        else:
            pairs.append(pair)
    if problems:
        say(problems.report())
    if not pairs:
        raise DocumentError(f"no pair of {source} and {target} fits the model's window (--source, --target)")
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
    if "pseudo_perplexity" in result:
        print(f"pseudo-perplexity     {result['pseudo_perplexity'] or math.inf:,.3f} a token")
        print(f"pseudo bits per byte  {result['pseudo_bits_per_byte']:.4f}")
        print(f"tokens                {result['tokens']:,} in {result['documents']:,} documents")
        print(
            f"window                {result['window']:,} tokens; every token hidden once, the rest in sight"
        )
        print(f"speed                 {result['tokens_per_second']:,} tokens/s")
        print("These are no perplexity and no code length: the model sees what comes after each token.")
        return
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
    if "baseline" in result:
        saved = result["bits_per_byte_saved"]
        assert isinstance(saved, dict)
        print(f"baseline        {result['baseline_bits_per_byte']:.4f} bits per byte: {result['baseline']}")
        interval = f"95 % interval {saved['low']:.4f} to {saved['high']:.4f} over {saved['items']:,}"
        alone = "one document, so no interval" if saved["items"] == 1 else f"{interval} documents redrawn"
        print(f"saved           {saved['mean']:.4f} bits per byte ({alone})")
