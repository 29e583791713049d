"""`shizuku reward`: a model that says which of two answers people would prefer."""

from shizuku.tuning.reward_config import RewardConfig as Config

__all__ = ["Config", "run", "show"]


def run(config: Config) -> dict[str, object]:
    """Train the reward model, or with `dry_run` say what that would take."""
    from shizuku.progress import say
    from shizuku.training.resume import has_state
    from shizuku.tuning.reward import plan, train_reward

    if config.dry_run:
        return plan(config)
    try:
        return train_reward(config).to_json()
    except (KeyboardInterrupt, SystemExit):
        if has_state(config.out):
            say(f"go on with: shizuku reward {config.model} --config {config.out / 'run.json'} --resume")
        raise


def show(result: dict[str, object]) -> None:
    """The plan of a dry run, or what training came to and what to do next."""
    for name, value in result.items():
        if name == "checkpoint":
            continue
        if isinstance(value, list):
            text = " to ".join(f"{each:.3f}" for each in value)
        else:
            text = (
                f"{value:,}"
                if isinstance(value, int)
                else f"{value:.4g}"
                if isinstance(value, float)
                else value
            )
        print(f"{name.replace('_', ' '):<28} {text}")
    if "checkpoint" in result:
        path = result["checkpoint"]
        print(
            f"\n{path}: learn from it with: shizuku align MODEL --method ppo --reward {path} --data PROMPTS"
        )
