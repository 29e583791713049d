"""`shizuku life`: the whole life of a small model."""

from shizuku.life.settings import LifeConfig as Config

__all__ = ["Config", "run", "show"]


def run(config: Config) -> dict[str, object]:
    """Live the life and return the keys of the contract, or with `dry_run` what it would do."""
    from shizuku.life.life import live, plan_of
    from shizuku.progress import say

    if config.dry_run:
        return plan_of(config)
    try:
        return live(config)
    except (KeyboardInterrupt, SystemExit):
        say(f"the stages that are done stay in {config.out}/; go on with: the same again with --resume")
        raise


def show(result: dict[str, object]) -> None:
    """What came of it, in a few lines, and what to do next."""
    if result.get("dry_run"):
        for name, value in result.items():
            print(f"{name.replace('_', ' '):<10} {value}")
        return
    bits = result["bits_per_byte"]
    assert isinstance(bits, dict)
    print(f"{result['parameters']:,} parameters, {result['tokens_seen']:,} tokens, {result['seconds']:.0f} s")
    answers = result.get("answers")
    if isinstance(answers, dict):
        shown = ", ".join(f"{k.replace('_', ' ')} {v:.1%}" for k, v in answers.items() if k != "questions")
        print(f"answers to {answers['questions']:,} held-out questions: {shown}")
    print("bits per byte on held-out text:", ", ".join(f"{name} {value:.3f}" for name, value in bits.items()))
    print(f"report: {result['report']}")
    print(f"next:   shizuku chat {result['checkpoint']}")
