"""`shizuku align` put together: each method's run, behind the same settings and the same figures."""

from typing import TYPE_CHECKING, Any

from shizuku.training.resume import alone, check_place
from shizuku.tuning.align_config import AlignConfig, check_method
from shizuku.tuning.align_result import AlignResult
from shizuku.tuning.run import begin

if TYPE_CHECKING:
    from shizuku.tuning.policy.rewards import RewardLike


def align(
    config: AlignConfig, *, reward: "RewardLike | None" = None, gold: "RewardLike | None" = None
) -> AlignResult:
    """Align as the config says and leave the checkpoint and report.html in `config.out`.

    `reward`, for PPO and GRPO, is any function of (prompts, completions) or of one prompt and one completion,
    or a RewardScorer, in place of the one that the config names; `gold` another, which is only recorded.
    Raises ConfigError for settings that don't go together, and what reading, rendering, rewards and `train`
    raise; Ctrl-C leaves a run that --resume goes on with.
    """
    _begin(config, rewarded=reward is not None)
    check_place(config.out, resume=config.loop.resume)
    with alone(config.out):
        if config.method == "dpo":
            from shizuku.tuning.dpo.run import align_dpo

            return align_dpo(config)
        from shizuku.tuning.policy.run import align_policy

        return align_policy(config, reward, gold)


def plan(config: AlignConfig) -> dict[str, Any]:
    """What the run would be: data, tokens, steps, and time as measured by a few steps."""
    _begin(config)
    if config.method == "dpo":
        from shizuku.tuning.dpo.run import plan_dpo

        return plan_dpo(config)
    from shizuku.tuning.policy.run import plan_policy

    return plan_policy(config)


def _begin(config: AlignConfig, *, rewarded: bool = False) -> None:
    check_method(config, rewarded=rewarded)
    begin(config)
