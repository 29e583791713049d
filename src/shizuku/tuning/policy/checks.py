"""Settings that PPO and GRPO have no use for, or that would break what they count on."""

from dataclasses import fields

from shizuku.errors import ConfigError
from shizuku.tuning.align_config import AlignConfig

USELESS = {
    "epochs": "--{flag}.rounds and --{flag}.epochs say how long",
    "batch_size": "--{flag}.answers and --{flag}.minibatch say how many",
    "context": "prompts that leave no room for --{flag}.max-new-tokens are left out",
    "sample_tokens": "--{flag}.max-new-tokens is what every answer may have",
    "too_long": "prompts that leave no room for --{flag}.max-new-tokens are left out",
    "keep": "the last weights are kept, as there is no held-out loss to choose by",
}
"""Settings of other methods, and what to set in place of each."""


def check_policy(config: AlignConfig) -> None:
    """ConfigError for settings of `shizuku align` that don't go with --method ppo or grpo."""
    flag = config.method
    defaults = {each.name: each.default for each in fields(AlignConfig)}
    for name, instead in USELESS.items():
        if getattr(config, name) != defaults[name]:
            said = f"--{name.replace('_', '-')}: not with --method {flag}: {instead.format(flag=flag)}"
            raise ConfigError(said)
    if config.loop.dropout or config.lora.dropout:
        name = "loop" if config.loop.dropout else "lora"
        raise ConfigError(
            f"--{name}.dropout: not with --method {flag}: ratios and divergences would compare other "
            "networks than the one that answers: leave it at 0"
        )
    if config.loop.max_seconds is not None:
        raise ConfigError(
            f"--loop.max-seconds: not with --method {flag}, whose steps differ: give --{flag}.rounds"
        )
    if config.loop.keeps_best:
        raise ConfigError(
            f"--loop.keep-best and --loop.patience: not with --method {flag}: no loss tells the best"
        )
