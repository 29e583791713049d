"""`shizuku reward`: a model that says which of two answers people would prefer."""

from shizuku.commands.figures import print_figures
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
    print_figures(result, but=("checkpoint",))
    if "checkpoint" in result:
        path = result["checkpoint"]
        print(f"\n{path}: learn from it with: shizuku align MODEL --method ppo --reward {path} …")
