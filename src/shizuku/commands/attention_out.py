"""The pictures of `shizuku attention`: a page, an image, or one head as SVG."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from shizuku.errors import ConfigError
from shizuku.interpretability.page import Shown, add_maps, effect_picture, head_picture
from shizuku.report.page import Page
from shizuku.text.spelling import visible

if TYPE_CHECKING:
    from shizuku.commands.attention import Config

EXPLAINED = {
    "patch": "Each head, as it is on the text, put into the run on the other text, alone: 0 changes nothing, "
    "1 gives the whole difference back, below 0 the head speaks against it.",
    "zero": "Each head taken out alone: the change of the difference in nats; below 0 it was for the answer.",
}


def write(config: "Config", shown: Shown, result: dict[str, Any]) -> Path:
    """Write what `--out` names, by its ending; ConfigError for what that kind cannot hold."""
    assert config.out is not None, "there is a place to write to"
    one = shown.maps_LHTT.shape[:2] == (1, 1)
    if config.out.suffix == ".html":
        return _page(config, shown, result).write(config.out)
    if config.out.suffix == ".svg":
        if not one:
            raise ConfigError("an .svg holds one head: choose it with --layer and --head, or write .html")
        config.out.parent.mkdir(parents=True, exist_ok=True)
        config.out.write_text(head_picture(shown, 0, 0), encoding="utf-8")
        return config.out
    from shizuku.interpretability.images import effects_image, maps_image

    if "effect" in result:
        values_LH = np.array(result["effect"]["by_head"])
        return effects_image(values_LH, _head_names(values_LH), config.out, title=_title(result["effect"]))
    names = [visible(token) for token in shown.tokens]

    def title(layer: int, head: int) -> str:
        number = f"{shown.layers[layer]}.{shown.heads[head]}"
        return f"layer {shown.layers[layer]}, head {shown.heads[head]}" if one else number

    return maps_image(shown.maps_LHTT, names, title, config.out)


def _title(effect: dict[str, Any]) -> str:
    right, wrong = effect["answers"]
    return f"{effect['kind']}: {right.strip()} rather than {wrong.strip()}"


def _head_names(values_LH: np.ndarray) -> list[str]:
    return [f"head {head}" for head in range(values_LH.shape[1])]


def _page(config: "Config", shown: Shown, result: dict[str, Any]) -> Page:
    page = Page("Attention, seen", f"{Path(config.model).name}, {len(shown.tokens)} tokens")
    if "effect" in result:
        page.section("Where every head looks")
    add_maps(page, shown)
    if "effect" in result:
        _add_effects(page, shown, result["effect"])
    if "known" in result:
        page.section(
            "Heads of known kinds",
            f"On {result['repeated_tokens']} random tokens said twice: the share of its attention that a "
            "head gives to the token after the earlier copy (induction), and to the token before.",
        )
        rows = zip(result["known"]["induction"], result["known"]["previous"], strict=True)
        page.table(
            ("induction head", "share", "previous-token head", "share"),
            [
                (f"{a['layer']}.{a['head']}", a["value"], f"{b['layer']}.{b['head']}", b["value"])
                for a, b in rows
            ],
        )
    return page


def _add_effects(page: Page, shown: Shown, effect: dict[str, Any]) -> None:
    values_LH = np.array(effect["by_head"])
    right, wrong = effect["answers"]
    other = "" if effect["corrupted"] is None else f", and {effect['corrupted']:+.2f} after the other text"
    page.section(
        "What every head does for the answer",
        f"The model is {effect['clean']:+.2f} nats for “{right.strip()}” rather than “{wrong.strip()}” after "
        f"the text{other}.",
    )
    layers = range(len(values_LH))
    page.text(EXPLAINED.get(effect["kind"], EXPLAINED["zero"]) + " Columns are layers.")
    page.insert(effect_picture(values_LH, _head_names(values_LH), layers))
    page.table(
        ("head", "effect"),
        [(f"layer {one['layer']}, head {one['head']}", one["value"]) for one in effect["heads"]],
        "The largest, either way",
    )
    if "by_layer" in effect:
        page.heading("By layer")
        page.text(
            "All that the attention, or the feed-forward layer, of a layer adds, put in at every token."
        )
        page.insert(effect_picture(np.array(effect["by_layer"]), ["attention", "feed-forward"], layers))
        page.heading("By token")
        page.text("The residual stream after a layer, put in at one token: where the difference travels.")
        names = [visible(token) for token in shown.tokens]
        page.insert(effect_picture(np.array(effect["by_position"]), names, layers))
