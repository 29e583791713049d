"""A life, stage by stage: what `shizuku life` runs."""

from importlib.util import find_spec
from typing import Any

import torch

from shizuku.checkpoints.names import resolve
from shizuku.config import to_dict
from shizuku.errors import MissingExtraError
from shizuku.life.asking import ask
from shizuku.life.continued import SHARES as SHARES_FROM
from shizuku.life.continued import continue_life
from shizuku.life.corpus import gather, is_town, prepare
from shizuku.life.curriculum import wording
from shizuku.life.making import choose_size, train_model, write_tokens
from shizuku.life.measuring import measure, sample
from shizuku.life.page import write_page
from shizuku.life.schooling import tune_model
from shizuku.life.settings import LifeConfig
from shizuku.life.stages import Stages
from shizuku.progress import say
from shizuku.text.documents import find_files

# How a resumed life may differ from what it was begun with.
FREE_TO_CHANGE = ("json", "resume", "dry_run", "threads", "watts", "price_per_hour", "out")

# Shares of the whole time, from the default of five minutes on two cores; learning gets what is left.
SHARES = {
    "gather": 0.05,
    "clean": 0.02,
    "tokens": 0.05,
    "plan": 0.02,
    "measure": 0.06,
    "sample": 0.02,
    "ask": 0.04,
    "report": 0.01,
}
TUNING = {True: 0.62, False: 0.3}
"""Share of the time for learning that the tuning gets, of the town and of other texts."""
LEAST_OF_TUNING = 0.2
"""Share of the time planned for it that tuning gets where nothing is left of it."""
AFTERWARDS = ("measure", "sample", "ask", "report")


def plan_of(config: LifeConfig) -> dict[str, object]:
    """What a life would read, where it would be, and the seconds of each stage; nothing is written."""
    total = 60.0 * config.minutes
    shares = SHARES if config.pretrained is None else SHARES_FROM
    budget = {name: round(share * total, 1) for name, share in shares.items()}
    left = total - sum(budget.values())
    if config.pretrained is None:
        budget["tune"] = round(TUNING[is_town(config)] * left, 1)
        left -= budget["tune"]
    budget["train"] = round(left, 1)
    result: dict[str, object] = {"dry_run": True, "text": list(config.text), "out": str(config.out)}
    if not {"town", "python"} & set(config.text):
        files = find_files(config.text)
        result |= {"files": len(files), "bytes": sum(file.stat().st_size for file in files)}
    return {
        **result,
        "threads": config.threads or torch.get_num_threads(),
        "seconds": total,
        "budget": budget,
    }


def live(config: LifeConfig) -> dict[str, object]:
    """Go through every stage and return the result's keys (see `shizuku life --json`)."""
    if find_spec("matplotlib") is None:  # better now than after minutes of work
        raise MissingExtraError("the report's plots need matplotlib: pip install 'shizuku[report]'")
    if config.threads is not None:
        torch.set_num_threads(config.threads)
    settings = {key: value for key, value in to_dict(config).items() if key not in FREE_TO_CHANGE}
    stages = Stages(config.out, settings, resume=config.resume)
    say(f"{config.minutes:g} minutes for a whole life in {config.out}/, on {torch.get_num_threads()} threads")
    if config.pretrained is not None:
        resolve(config.pretrained)  # better now than after minutes of work
        return continue_life(config, stages)
    return _from_nothing(config, stages)


def _from_nothing(config: LifeConfig, stages: Stages) -> dict[str, object]:
    total = 60.0 * config.minutes
    budget = {name: share * total for name, share in SHARES.items()}
    data = config.out / "data"

    def run(name: str, work: Any, seconds: float | None = None) -> dict[str, Any]:
        return stages.run(name, budget[name] if seconds is None else seconds, work)

    gathered = run("gather", lambda: gather(config, data))
    heldout_bytes = int(config.heldout_megabytes * 1e6)
    cleaned = run("clean", lambda: prepare(config.text, data, heldout_bytes=heldout_bytes, seed=config.seed))
    days = gathered["days"] if is_town(config) else None
    tokens = run("tokens", lambda: write_tokens(config.out, config.vocab_size, list(wording(config, days))))
    rest = sum(budget[name] for name in AFTERWARDS)

    def planned() -> dict[str, Any]:
        learning = max(total - stages.elapsed - rest - budget["plan"], 0.0)
        tuning = TUNING[is_town(config)] * learning
        return choose_size(config, tokens, seconds=learning - tuning) | {"tuning_seconds": tuning}

    plan = run("plan", planned)
    trained = run("train", lambda: train_model(config, plan), seconds=plan["seconds"])
    left = max(total - stages.elapsed - rest, LEAST_OF_TUNING * plan["tuning_seconds"])
    tuned = run("tune", lambda: tune_model(config, plan, trained, days, seconds=left), seconds=left)
    measured = run("measure", lambda: measure(config, trained["tokens_seen"] + tuned["text_tokens_seen"]))
    samples = run("sample", lambda: sample(config, gathered))
    asked = run("ask", lambda: ask(config, days, tuned["facts"]))
    facts = {
        "gather": gathered,
        "clean": cleaned,
        "tokens": tokens,
        "plan": plan,
        "train": trained,
        "tune": tuned,
        "measure": measured,
        "sample": samples,
        "ask": asked,
    }
    page = run("report", lambda: write_page(config, facts, stages.times))
    result = {
        "checkpoint": tuned["checkpoint"],
        "base": trained["checkpoint"],
        "seconds": stages.elapsed,
        "parameters": plan["parameters"],
        "tokens_seen": trained["tokens_seen"] + tuned["tokens_seen"],
        "tokens_per_second": trained["tokens_per_second"],
        "flops": trained["flops"] + tuned["flops"],
        "bits_per_byte": measured["bits_per_byte"],
        "heldout_bytes": measured["heldout_bytes"],
        "overlap": cleaned["overlap"],
        "sample": samples["first"],
        "answers": asked["summary"] | _taught(tuned),
        "report": page["report"],
    }
    say(f"done in {stages.elapsed:.0f} s of {total:.0f} s")
    return result


def _taught(tuned: dict[str, Any]) -> dict[str, int]:
    return {"facts_taught": tuned["facts_taught"]} if tuned["facts"] is not None else {}
