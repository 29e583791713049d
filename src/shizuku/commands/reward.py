"""`shizuku reward`: a model that says which of two answers people would prefer."""

from shizuku.commands.figures import print_figures
from shizuku.commands.resumable import resumable
from shizuku.tuning.reward_config import RewardConfig as Config

__all__ = ["Config", "run", "show"]


def run(config: Config) -> dict[str, object]:
    """Train the reward model, or with `dry_run` say what that would take."""
    from shizuku.tuning.reward import plan, train_reward

    if config.dry_run:
        return plan(config)
    with resumable(f"reward {config.model}", config.out):
        return train_reward(config).to_json()


def show(result: dict[str, object]) -> None:
    """The plan of a dry run, or what training came to and what to do next."""
    print_figures(result, but=("checkpoint",))
    if "checkpoint" in result:
        path = result["checkpoint"]
        print(f"\n{path}: learn from it with: shizuku align MODEL --method ppo --reward {path} …")
