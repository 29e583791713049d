"""Settings of PPO and GRPO; nothing here needs torch."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from shizuku.errors import ConfigError


@dataclass(frozen=True, kw_only=True, slots=True)
class RoundConfig:
    """A round: answers are sampled with the weights as they are, judged, and learned from."""

    FLAG: ClassVar[str] = "policy"
    """What the flags begin with."""

    answers: int = 64
    """Answers sampled in a round."""
    minibatch: int = 16
    """Answers in a batch; a step takes loop.accumulate batches."""
    epochs: int = 4
    """How many times the answers of a round are gone through."""
    rounds: int = 30
    """Rounds of the whole run; --steps says otherwise."""
    max_new_tokens: int = 64
    """Tokens of an answer at most."""
    temperature: float = 1.0
    """Divides the logits, of sampling and of training alike."""
    clip: float = 0.2
    """How far the ratio of new to old probability may go from 1 before a token stops counting."""
    missing_eos_penalty: float = 0.0
    """Taken off the reward of an answer that was cut at the limit in place of ending by itself."""
    reward_seconds: float = 60.0
    """How long the reward may take over the answers of a round before the run stops with an error."""

    def __post_init__(self) -> None:
        flag = self.FLAG
        for name in ("answers", "minibatch", "epochs", "rounds", "max_new_tokens"):
            if getattr(self, name) < 1:
                raise ConfigError(
                    f"--{flag}.{name.replace('_', '-')}: expected at least 1, found {getattr(self, name)}"
                )
        if self.answers % self.minibatch:
            raise ConfigError(
                f"--{flag}.answers {self.answers}: expected a multiple of --{flag}.minibatch {self.minibatch}"
            )
        if not 0 < self.temperature < 100:
            raise ConfigError(
                f"--{flag}.temperature {self.temperature}: expected a number above 0; at 0 there is nothing "
                "to choose from, and so nothing to learn from"
            )
        for name in ("clip", "reward_seconds"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"--{flag}.{name.replace('_', '-')}: expected a number above 0")
        if not self.missing_eos_penalty >= 0:
            raise ConfigError(f"--{flag}.missing-eos-penalty: expected 0 or more")

    @property
    def batches(self) -> int:
        """Batches that a round is learned in."""
        return self.epochs * self.answers // self.minibatch


@dataclass(frozen=True, kw_only=True, slots=True)
class PPOConfig(RoundConfig):
    """Proximal policy optimisation (Schulman et al. 2017) as Ziegler et al. 2019 use it on language."""

    FLAG: ClassVar[str] = "ppo"

    kl: float = 0.05
    """What a nat of divergence from the reference costs, token by token."""
    kl_target: float | None = None
    """Divergence of an answer, in nats, that the cost is steered towards; none given: it stays as it is."""
    kl_horizon: int = 10_000
    """Answers in which the steered cost could grow by a fifth of e."""
    kl_estimator: Literal["k1", "k3"] = "k1"
    """How a token's divergence is estimated: k1 is log p/q, which averages to it; k3 is never negative, but
    does not average to its gradient (Schulman 2020).
    """
    discount: float = 1.0
    """What a reward one token later is worth."""
    gae_lambda: float = 0.95
    """Between 0 (advantages from the value model alone) and 1 (from the rewards alone)."""
    whiten_advantages: bool = True
    """Bring a round's advantages to mean 0 and deviation 1."""
    whiten_rewards: bool = False
    """Bring a round's token rewards to deviation 1; their mean stays."""
    value_clip: float = 0.2
    """How far a value may go from what it was before its error stops counting."""
    value_coefficient: float = 0.1
    """Weight of the value model's error in the loss."""
    entropy_coefficient: float = 0.0
    """Weight of the entropy that is rewarded; 0 for none."""
    critic: Literal["separate", "shared"] = "separate"
    """Whether the value model has weights of its own (with --lora.rank: an adapter of its own), or is a head
    on the policy.
    """

    def __post_init__(self) -> None:
        RoundConfig.__post_init__(self)
        for name in ("kl", "value_coefficient", "entropy_coefficient"):
            if not getattr(self, name) >= 0:
                raise ConfigError(f"--ppo.{name.replace('_', '-')}: expected 0 or more")
        for name in ("discount", "gae_lambda"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"--ppo.{name.replace('_', '-')}: expected 0 to 1")
        if self.kl_target is not None and not self.kl_target > 0:
            raise ConfigError(f"--ppo.kl-target {self.kl_target}: expected more than 0 nats")
        if self.kl_target is not None and not self.kl > 0:
            raise ConfigError("--ppo.kl-target: a cost of 0 can't be steered: raise --ppo.kl")
        if self.kl_horizon < 1 or not self.value_clip > 0:
            raise ConfigError("--ppo.kl-horizon and --ppo.value-clip: expected more than 0")


@dataclass(frozen=True, kw_only=True, slots=True)
class GRPOConfig(RoundConfig):
    """Group-relative policy optimisation (Shao et al. 2024): an answer is compared with others to its prompt.

    No value model is needed.
    """

    FLAG: ClassVar[str] = "grpo"

    epochs: int = 1
    """How many times the answers of a round are gone through."""
    group: int = 8
    """Answers to each prompt."""
    kl: float = 0.04
    """Weight of the divergence from the reference (k3) in the loss; 0 for none."""
    divide_by_deviation: bool = True
    """Divide a group's rewards by their deviation; without, hard and easy prompts count as they differ
    (Liu et al. 2025, Dr. GRPO).
    """

    def __post_init__(self) -> None:
        RoundConfig.__post_init__(self)
        if self.group < 2:
            raise ConfigError(f"--grpo.group {self.group}: expected at least 2, to compare answers")
        if self.answers % self.group:
            raise ConfigError(
                f"--grpo.answers {self.answers}: expected a multiple of --grpo.group {self.group}"
            )
        if not self.kl >= 0:
            raise ConfigError(f"--grpo.kl {self.kl}: expected 0 or more")
