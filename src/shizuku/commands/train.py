"""`shizuku train`: a model from text."""

from shizuku.training.config import TrainConfig as Config

__all__ = ["Config", "run", "show"]


def run(config: Config) -> dict[str, object]:
    """Train, or with `dry_run` say what that would take; the keys of the contract and a few more."""
    from shizuku.progress import say
    from shizuku.training.from_text import plan, train_on_text
    from shizuku.training.resume import has_state

    if config.dry_run:
        return plan(config)
    try:
        result = train_on_text(config)
    except (KeyboardInterrupt, SystemExit):
        if has_state(config.out):
            say(f"go on with: shizuku train --config {config.out / 'run.json'} --resume")
        raise
    return {
        "checkpoint": str(result.checkpoint),
        "tokens_seen": result.tokens_seen,
        "seconds": result.seconds,
        "tokens_per_second": result.tokens_per_second,
        "loss": result.loss,
        "validation_loss": result.validation_loss,
        "flops": result.flops,
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
    held_out = (
        "" if result["validation_loss"] is None else f" ({result['validation_loss']:.4f} on held-out text)"
    )
    print(f"loss {result['loss']:.4f} nats a token{held_out}")
    print(
        f"{result['tokens_seen']:,} tokens in {result['seconds']:,.0f} s, "
        f"{result['tokens_per_second']:,.0f} tokens/s"
    )
    print(f'next: shizuku generate {result["checkpoint"]} --prompt "…"')
