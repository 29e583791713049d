"""`shizuku train`: a model from text."""

from pathlib import Path
from typing import TYPE_CHECKING

from shizuku.commands.going_on import next_verb
from shizuku.config import differences, to_dict
from shizuku.errors import ConfigError
from shizuku.training.config import TrainConfig as Config
from shizuku.training.model_settings import NGramSettings, PairSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shizuku.training.result import TrainResult

LEARNED = "preset model setting pairs batch_size boundaries z_loss zero_outputs loop".split()  # noqa: SIM905
"""Parts of the config that are for models that learn step by step."""

__all__ = ["Config", "run", "show"]


def run(config: Config) -> dict[str, object] | None:
    """Train, or with `dry_run` say what that would take; the keys of the contract and a few more.

    In a `torchrun` job process 0 has the result, the others None.
    """
    from shizuku.training.distribution import job, place

    with job():
        rank, _ = place()
        result = _run(config)
    return result if rank == 0 else None


def _run(config: Config) -> dict[str, object]:
    from shizuku.progress import say
    from shizuku.training.distribution import program
    from shizuku.training.from_pairs import check_run, plan_pairs, prepare_pairs, train_on, train_on_pairs
    from shizuku.training.from_text import plan, train_on_text, train_seeds
    from shizuku.training.resume import has_state

    if config.architecture == "ngram":
        if config.source is not None:
            raise ConfigError("--source, --target: --architecture ngram learns from --text")
        return _counted(config)
    if config.ngram != NGramSettings():
        raise ConfigError("--ngram.*: settings of --architecture ngram: leave them out, or choose that")
    pairs = _learns_from_pairs(config)
    if not pairs and config.pairs != PairSettings():
        raise ConfigError("--pairs.*: settings of translation models: leave them out, or choose one")
    if config.dry_run:
        return plan_pairs(config) if pairs else plan(config)
    results: TrainResult | list[TrainResult]
    try:
        if config.seeds > 1:
            results = train_seeds(config, *((prepare_pairs, train_on, check_run) if pairs else ()))
        else:
            results = train_on_pairs(config) if pairs else train_on_text(config)
    except (KeyboardInterrupt, SystemExit):
        if config.seeds > 1:
            say("go on with: the same again with --resume")
        elif has_state(config.out):
            say(f"go on with: {program()} train --config {config.out / 'run.json'} --resume")
        raise
    if isinstance(results, list):
        return _over_seeds(config, results)
    return {
        "checkpoint": str(results.checkpoint),
        "tokens_seen": results.tokens_seen,
        "seconds": results.seconds,
        "tokens_per_second": results.tokens_per_second,
        "loss": results.loss,
        "validation_loss": results.validation_loss,
        "flops": results.flops,
    }


def _learns_from_pairs(config: Config) -> bool:
    """Whether the architecture translates; ConfigError where what is to be read is for another kind."""
    from shizuku.models.architectures import architecture

    pairs = architecture(config.architecture).runs == "pairs"
    if pairs and config.source is None:
        raise ConfigError(
            f"--text: --architecture {config.architecture} learns from pairs: give --source and --target, "
            "two files of sentences that say the same line by line"
        )
    if config.source is not None and not pairs:
        raise ConfigError(
            f"--source, --target: --architecture {config.architecture} learns from --text; pairs of "
            "sentences are for --architecture encoder-decoder or lstm-seq2seq"
        )
    return pairs


def _counted(config: Config) -> dict[str, object]:
    from shizuku.training.counting.from_text import count_text

    _check_counted(config)
    if config.dry_run or config.seeds > 1:
        flag = "--dry-run" if config.dry_run else "--seeds"
        raise ConfigError(f"{flag}: counting takes seconds and draws no numbers: leave it out")
    result = count_text(config)
    return {
        "checkpoint": str(result.checkpoint),
        "tokens_seen": result.tokens_seen,
        "seconds": result.seconds,
        "tokens_per_second": result.tokens_per_second,
        "loss": result.loss,
        "validation_loss": result.loss,
        "flops": 0,
        "ngrams": list(result.ngrams),
    }


def _check_counted(config: Config) -> None:
    """ConfigError for settings that counting would have to ignore."""
    plain, given = to_dict(Config(out=config.out, text=config.text, architecture="ngram")), to_dict(config)
    given["loop"] |= {name: plain["loop"][name] for name in ("seed", "resume")}  # looked at where it counts
    odd = [part for part in LEARNED for part in differences(part, plain[part], given[part])]
    if odd:
        flags = ", ".join("--" + one.split(" was ")[0].replace("_", "-") for one in odd)
        raise ConfigError(
            f"{flags}: an n-gram model is counted, not learned, and has settings of its own (--ngram.*): "
            "leave these out"
        )


def _over_seeds(config: Config, results: "Sequence[TrainResult]") -> dict[str, object]:
    """Sums of the costs, means of the losses, and the intervals."""
    from shizuku.checkpoints.huggingface import read_json
    from shizuku.checkpoints.run_difference import SEEDS

    intervals = read_json(config.out / SEEDS)["metrics"]
    tokens, seconds = (sum(getattr(one, name) for one in results) for name in ("tokens_seen", "seconds"))
    return {
        "checkpoint": str(config.out),
        "tokens_seen": tokens,
        "seconds": seconds,
        "tokens_per_second": tokens / max(seconds, 1e-9),
        "loss": intervals["loss"]["mean"],
        "validation_loss": intervals["validation_loss"]["mean"] if "validation_loss" in intervals else None,
        "flops": sum(one.flops for one in results),
        "checkpoints": [str(one.checkpoint) for one in results],
        "intervals": intervals,
    }


def show(result: dict[str, object]) -> None:
    """The plan of a dry run, or what the training came to and what to do next."""
    if "checkpoint" not in result:
        for name, value in result.items():
            text = (
                f"{value:,}"
                if isinstance(value, int)
                else f"{value:.4g}"
                if isinstance(value, float)
                else value
            )
            print(f"{name.replace('_', ' '):<30} {text}")
        return
    if "intervals" in result:
        _show_intervals(result)
        return
    held_out = (
        " on held-out text"  # all the loss there is: what was counted is not measured on
        if "ngrams" in result
        else ""
        if result["validation_loss"] is None
        else f" ({result['validation_loss']:.4f} on held-out text)"
    )
    if result["loss"] is not None:
        print(f"loss {result['loss']:.4f} nats a token{held_out}")
    if "ngrams" in result:
        sizes = result["ngrams"]
        assert isinstance(sizes, list)
        print(f"n-grams by length: {', '.join(f'{count:,}' for count in sizes)}")
    print(
        f"{result['tokens_seen']:,} tokens in {result['seconds']:,.0f} s, "
        f"{result['tokens_per_second']:,.0f} tokens/s"
    )
    print(f"next: shizuku {next_verb(Path(str(result['checkpoint'])))}")


def _show_intervals(result: dict[str, object]) -> None:
    intervals, checkpoints = result["intervals"], result["checkpoints"]
    assert isinstance(intervals, dict) and isinstance(checkpoints, list)
    for name, found in intervals.items():
        values = ", ".join(f"{value:.4f}" for value in found["values"])
        print(
            f"{name.replace('_', ' ')} {found['mean']:.4f} nats a token, 95 % interval {found['low']:.4f} to "
            f"{found['high']:.4f} ({values})"
        )
    print("next: shizuku diff " + " ".join(checkpoints[:2]))
