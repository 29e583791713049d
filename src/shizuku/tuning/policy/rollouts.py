"""Answers sampled by the inference engine from the weights as they are, and what a round knows of them.

Legend: `B` answers, `A` tokens of an answer, padded behind.
"""

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from shizuku.errors import ConfigError
from shizuku.inference.engine import Engine, EngineSettings
from shizuku.inference.generation import generate
from shizuku.inference.opening import runtime_of
from shizuku.inference.runtime import Runtime, Span
from shizuku.inference.sampling import SamplingConfig
from shizuku.models.decoder import Decoder

AT_ONCE = 64
"""Answers that the engine works on at once."""
_WARPERS = ("top_k", "top_p", "min_p", "repetition_penalty", "presence_penalty", "frequency_penalty")


@dataclass(frozen=True, slots=True)
class Prompt:
    """What is answered."""

    ids: Sequence[int]
    """As the model reads it."""
    text: str | Sequence[Mapping[str, Any]]
    """As the reward reads it: the user's words, or turns where there are several."""
    record: Mapping[str, Any] = field(default_factory=dict)
    """The row of the data that it comes from."""


@dataclass(slots=True)
class Rollouts:
    """The answers of a round, and what is learned from them; float32 but for the rewards."""

    prompts: list[int]
    """Numbers of the prompts."""
    ids_BA: np.ndarray
    """int64: the answers' tokens, with the one that ended them."""
    mask_BA: np.ndarray
    """bool: where they are."""
    finished_B: np.ndarray
    """bool: whether the answer ended by itself."""
    engine_BA: np.ndarray
    """Log-probabilities of the tokens (nats, at the temperature) as the engine sampled them."""
    rewards_B: np.ndarray = field(default_factory=lambda: np.empty(0))
    """float64: what the reward said."""
    gold_B: np.ndarray = field(default_factory=lambda: np.empty(0))
    """float64: what the gold reward said, which nothing learns from."""
    logp_BA: np.ndarray = field(default_factory=lambda: np.empty((0, 0)))
    """The same log-probabilities by the training forward."""
    reference_BA: np.ndarray = field(default_factory=lambda: np.empty((0, 0)))
    """Those of the reference."""
    values_BA: np.ndarray = field(default_factory=lambda: np.empty((0, 0)))
    """What the value model expected before each token; empty where there is none."""
    advantages_BA: np.ndarray = field(default_factory=lambda: np.empty((0, 0)))
    """How much better than expected each token was."""
    returns_BA: np.ndarray = field(default_factory=lambda: np.empty((0, 0)))
    """What the value model should have expected; empty where there is none."""

    @property
    def lengths_B(self) -> np.ndarray:
        """Tokens of each answer."""
        lengths: np.ndarray = self.mask_BA.sum(1)
        return lengths

    def answer(self, row: int) -> list[int]:
        """The tokens of one answer."""
        return [int(token) for token in self.ids_BA[row][self.mask_BA[row]]]

    def state_dict(self) -> dict[str, Any]:
        """Everything as JSON values, exactly."""
        return {each.name: _packed(getattr(self, each.name)) for each in fields(self)}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> "Rollouts":
        """What `state_dict` gave."""
        return cls(**{name: _unpacked(value) for name, value in state.items()})


def _packed(value: Any) -> Any:
    if not isinstance(value, np.ndarray):
        return value
    data = base64.b64encode(np.ascontiguousarray(value).tobytes()).decode()
    return {"dtype": value.dtype.str, "shape": list(value.shape), "base64": data}


def _unpacked(value: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    flat = np.frombuffer(base64.b64decode(value["base64"]), np.dtype(value["dtype"]))
    return flat.reshape(value["shape"]).copy()


class Sampler:
    """Samples answers from a decoder that is being trained, at a temperature and without any warper.

    What is drawn depends on the weights, the seed and the answer's number alone.
    """

    def __init__(
        self,
        model: Decoder,
        *,
        sampling: SamplingConfig,
        max_new_tokens: int,
        stop_ids: frozenset[int],
        at_once: int = AT_ONCE,
    ) -> None:
        """Sample as `sampling` says; ConfigError for settings that cut the distribution."""
        check_sampling(sampling)
        self.model, self.max_new_tokens, self.stop_ids = model, max_new_tokens, stop_ids
        self.temperature = sampling.temperature
        self._sampling = SamplingConfig(seed=sampling.seed)
        training = model.training
        runtime: Any = _Tempered(runtime_of(model), sampling.temperature)
        model.train(training)
        self._engine = Engine(runtime, EngineSettings(running=at_once, waiting=at_once))

    def sample(self, prompts: Sequence[Sequence[int]], first: int) -> Rollouts:
        """An answer to each prompt (token ids), the first of which is answer number `first` of the run."""
        tokens: list[list[int]] = [[] for _ in prompts]
        logprobs: list[list[float]] = [[] for _ in prompts]
        finished = np.zeros(len(prompts), dtype=bool)
        training = self.model.training
        self.model.eval()
        try:
            for step in generate(
                self._engine,
                prompts,
                sampling=self._sampling,
                max_new_tokens=self.max_new_tokens,
                stop_ids=self.stop_ids,
                logprobs=0,
                indices=range(first, first + len(prompts)),
                at_once=self._engine.settings.running,
            ):
                row = step.index - first
                assert step.logprob is not None, "log-probabilities were asked for"
                tokens[row].append(step.token_id)
                logprobs[row].append(step.logprob)
                finished[row] |= step.finish == "stop"
        finally:
            self.model.train(training)
        longest = max(map(len, tokens))
        ids_BA = np.zeros((len(tokens), longest), dtype=np.int64)
        mask_BA = np.zeros(ids_BA.shape, dtype=bool)
        engine_BA = np.zeros(ids_BA.shape, dtype=np.float32)
        for row, (ids, found) in enumerate(zip(tokens, logprobs, strict=True)):
            ids_BA[row, : len(ids)], engine_BA[row, : len(ids)], mask_BA[row, : len(ids)] = ids, found, True
        return Rollouts(list(range(len(prompts))), ids_BA, mask_BA, finished, engine_BA)


def check_sampling(sampling: SamplingConfig) -> None:
    """ConfigError for what makes the answers other than the policy's own."""
    plain = SamplingConfig()
    changed = [name for name in _WARPERS if getattr(sampling, name) != getattr(plain, name)]
    if changed or sampling.logit_bias:
        name = (changed or ["logit_bias"])[0]
        raise ConfigError(
            f"{name}: answers to learn from are drawn from the whole distribution, at a temperature. With a "
            "warper they come from another one than the policy's: ratios are then wrong, and the divergence "
            f"from the reference comes out too small, even negative. Leave {name} out"
        )
    if sampling.greedy:
        raise ConfigError(f"--temperature {sampling.temperature}: answers to learn from have to be drawn")


class _Tempered:
    """A runtime whose logits are divided by the temperature: the engine tells log-probabilities of what it
    draws from. All else is the runtime's own.
    """

    def __init__(self, runtime: Runtime, temperature: float) -> None:
        self._runtime, self._temperature = runtime, np.float32(temperature)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._runtime, name)

    def forward(self, spans: Sequence[Span]) -> np.ndarray:
        logits_RV = self._runtime.forward(spans)
        if self._temperature != 1:
            logits_RV /= self._temperature
        return logits_RV


Decode = Callable[[Sequence[int]], str]
