"""The report of a life: one page that a person would rather look at than read logs."""

from collections.abc import Mapping, Sequence
from typing import Any

from shizuku.life.making import CHECKPOINT
from shizuku.life.settings import LifeConfig
from shizuku.report.page import Card, Figure, Page, Sample
from shizuku.report.plots import Series, bars, line

REPORT = "report.html"
NAMES = {
    "model": "this model",
    "ngram": "order-5 byte model",
    "xz_primed": "xz -9, primed",
    "xz": "xz -9",
}
"""The baselines as the page calls them."""

EXAMINATIONS = {
    "rephrased": "facts, asked in other words than in any lesson about them",
    "unasked": "facts that no lesson asks for: only the documents tell them",
    "yes or no": "yes or no",
    "sums": "sums and differences whose numbers no lesson combines",
    "strangers": "people who are not in the town: it should say that it does not know",
    "unknown": "topics and places that nothing tells of: it should say that it does not know",
}
"""Examination -> what is held out."""
TOWN_EXAMINED = (
    "Exact: the expected answer, character for character. Supported: all that it claims is in the town's "
    "facts. Admits: it says that it does not know. Invents: all the rest, that is claims which the facts "
    "contradict, people who do not exist, and what can't be read."
)
TEXT_EXAMINED = (
    "Exercises made out of held-out documents. Exact: the expected answer, character for character; "
    "`continue` has no one right answer."
)


def write_page(
    config: LifeConfig, facts: Mapping[str, Any], times: Sequence[tuple[str, float, float]]
) -> dict[str, Any]:
    """Write `report.html` from the stages' results and times (name, budget and seconds taken)."""
    page = Page("A life in " + duration(sum(seconds for _, _, seconds in times)), _subtitle(config, facts))
    _headline(page, facts)
    _learned(page, facts)
    _answered(page, facts)
    _wrote(page, facts)
    if "truth" in facts["sample"]:
        _truth(page, facts)
    text_section(page, facts)
    _size(page, facts)
    cost(page, config, facts, times)
    model = config.out / CHECKPOINT
    page.section(
        "Go on", "The model is an ordinary Hugging Face directory, and these commands take it further."
    )
    page.commands(
        f"shizuku chat {model}",
        f'shizuku generate {model} --prompt "…"',
        f"shizuku eval {model} --text PATH",
        f"shizuku export {model} --format gguf --type q8_0 --out model.gguf",
        f"shizuku life --text {' '.join(config.text)} --minutes {4 * config.minutes:g} --out longer",
    )
    return {"report": str(page.write(config.out / REPORT))}


def _subtitle(config: LifeConfig, facts: Mapping[str, Any]) -> str:
    source = {"town": "a simulated town, in English and Japanese", "python": "the prose of this Python"}
    text = source.get(config.text[0], ", ".join(config.text))
    seen = facts["train"]["tokens_seen"]
    size = facts["plan"]["parameters"]
    return f"{size:,} parameters trained on {seen:,} tokens of {text}; seed {config.seed}."


def _headline(page: Page, facts: Mapping[str, Any]) -> None:
    bits, trained = facts["measure"]["bits_per_byte"], facts["train"]
    best = min((name for name in bits if name != "model"), key=bits.__getitem__)
    page.cards(
        [
            Card("bits per byte, held-out text", f"{bits['model']:.3f}", f"{NAMES[best]}: {bits[best]:.3f}"),
            Card(
                "parameters",
                _short(facts["plan"]["parameters"]),
                f"vocabulary {facts['tokens']['vocab_size']:,}",
            ),
            Card(
                "tokens read", _short(trained["tokens_seen"]), f"{trained['tokens_per_second']:,.0f} a second"
            ),
            Card("operations", f"{trained['flops']:.2g}", "all matrix products of training"),
        ]
    )


def _learned(page: Page, facts: Mapping[str, Any]) -> None:
    """Loss against tokens, time and operations, and the model beside its baselines."""
    page.section(
        "What it learned", "Loss in nats a token while it trained, and bits per byte on text it never saw."
    )
    history = [record for record in facts["train"]["history"] if "loss" in record]
    checked = [record for record in history if record.get("validation_loss") is not None]
    per_token = facts["train"]["flops"] / facts["train"]["tokens_seen"]
    axes = {
        "tokens": ("tokens", lambda r: r["tokens"]),
        "time": ("seconds of training", lambda r: r["seconds"]),
        "operations": ("operations", lambda r: r["tokens"] * per_token),
    }
    figures = []
    for name, (label, value) in axes.items():
        curves = [Series("training", [value(r) for r in history], [r["loss"] for r in history])]
        if checked:
            held = [r["validation_loss"] for r in checked]
            curves.append(Series("held out", [value(r) for r in checked], held))
        figures.append(Figure(line(curves, x=label, y="loss (nats a token)"), f"Loss against {name}."))
    bits = facts["measure"]["bits_per_byte"]
    shown = {NAMES[name]: bits[name] for name in NAMES}
    figures.append(
        Figure(
            bars(
                shown, x="bits per byte (lower is better)", highlight=NAMES["model"], number_format="{:.3f}"
            ),
            f"On {facts['measure']['heldout_bytes']:,} held-out bytes (plain xz: all "
            f"{facts['measure']['xz_bytes']:,}). The order-5 model and the priming text are the "
            f"{facts['measure']['seen_bytes']:,} bytes of text that this model read.",
        )
    )
    page.figures(*figures)
    town = facts["measure"]["by_language"]
    if town:
        rows = [
            [{"en": "English", "ja": "Japanese"}[name], row["bits_per_byte"], row["floor"], row["bytes"]]
            for name, row in town.items()
        ]
        page.table(
            ("language", "bits per byte", "the writer's choices", "held-out bytes"),
            rows,
            "The town's text is written by choices whose probabilities are known; their bits are "
            "what is left to learn for a reader who knows the town and the grammar.",
        )


def _answered(page: Page, facts: Mapping[str, Any]) -> None:
    """What tuning made of it: examinations of what no lesson asked, and answers as they came."""
    asked, tuned = facts["ask"], facts["tune"]
    summary, base, town = asked["summary"], asked["base"], "supported" in asked["summary"]
    about = f" (on {tuned['facts_taught']:,} facts, sums and the rest)" if town else ""
    page.section(
        "What it answers",
        f"The base was tuned on {tuned['lessons']:,} questions{about}, gone through {tuned['passes']:.1f} "
        f"times, beside {tuned['text_tokens_seen']:,} further tokens of the text. It is examined on others. "
        f"Before tuning, {base['exact']:.0%} of "
        f"{base['questions']} answers were exact and {base['stops']:.0%} ended by themselves.",
    )
    cards = [
        Card("answers that end by themselves", f"{summary['stops']:.1%}", f"of {summary['questions']:,}")
    ]
    if town:
        cards += [
            Card("exact, sums it was never asked", f"{summary['exact_sums']:.0%}", "up to 20"),
            Card("exact, facts asked in other words", f"{summary['exact_rephrased']:.0%}", "look-ups"),
            Card("answers that are made up", f"{summary['invents']:.0%}", "of all questions"),
        ]
    else:
        cards.append(Card("exact, on sentences it never saw", f"{summary['exact']:.0%}", "but `continue`"))
    page.cards(cards)
    keys = ("questions", "exact", "stops", *(("supported", "admits", "invents") if town else ()))
    rows = [
        [EXAMINATIONS.get(name, name), *(one[key] for key in keys)]
        for name, one in asked["examinations"].items()
    ]
    page.table(("held out", *keys), rows, TOWN_EXAMINED if town else TEXT_EXAMINED)
    page.samples(
        *[
            Sample(text=f"{one['answer']}  (expected: {one['expected']})", prompt=one["question"] + " ")
            for one in asked["samples"]
        ]
    )


def _wrote(page: Page, facts: Mapping[str, Any]) -> None:
    sampled = facts["sample"]
    page.section(
        "What it writes",
        f"Sampled at temperature {sampled['temperature']}: first from nothing, then from the beginnings of "
        "held-out documents. Nothing was picked out.",
    )
    page.samples(*[Sample(text=s["text"], prompt=s["prompt"]) for s in sampled["samples"]])


def _truth(page: Page, facts: Mapping[str, Any]) -> None:
    truth = facts["sample"]["truth"]
    accepted = truth["accepted"] / max(truth["sentences"], 1)
    supported = truth["supported"] / max(truth["statements"], 1)
    page.section(
        "Is it true?",
        "The town's grammar and facts are known, so every sentence that the model makes up can be checked.",
    )
    page.cards(
        [
            Card("sentences the grammar accepts", f"{accepted:.0%}", f"of {truth['sentences']:,}"),
            Card(
                "statements the facts support",
                f"{supported:.0%}",
                f"of {truth['statements']:,} that can be checked",
            ),
        ]
    )
    page.text(
        "A sentence is accepted if the grammar could have written it, word for word. A statement is "
        "supported if the table of facts has it; the rest are inventions in good grammar, which is what "
        "a small model that has read much and remembers little will write."
    )


def text_section(page: Page, facts: Mapping[str, Any]) -> None:
    gathered, cleaned, tokens = facts["gather"], facts["clean"], facts.get("tokens")
    page.section("The text", "What was gathered, what was left out and why, and how it was cut into tokens.")
    rows: dict[str, object] = {
        "documents gathered": gathered["documents"],
        "bytes gathered": gathered["bytes"],
        **{f"left out: {reason}": count for reason, count in cleaned["dropped"].items()},
        "training documents": cleaned["train_documents"],
        "training bytes": cleaned["train_bytes"],
        "held-out documents": cleaned["heldout_documents"],
        "held-out bytes": cleaned["heldout_bytes"],
        "held-out text that stands in training": f"{cleaned['overlap']:.2%}",
    }
    if tokens is not None:
        rows |= {
            "training tokens": tokens["train_tokens"],
            "vocabulary": tokens["vocab_size"],
            "bytes a token": tokens["bytes_per_token"],
        }
    page.facts(rows)
    page.text(
        f"Split: {cleaned['split']}. The share of held-out text that stands in training is counted in "
        f"spans of 13 words or more; {cleaned['overlapping_documents']} held-out documents that were mostly "
        "such were dropped."
    )
    if gathered.get("problems"):
        page.aside(gathered["problems"])


def _size(page: Page, facts: Mapping[str, Any]) -> None:
    plan = facts["plan"]
    page.section("Why this size", plan["explanation"])
    near = sorted(plan["candidates"], key=lambda c: c["predicted_loss"])[:6]
    near.sort(key=lambda c: c["parameters"])
    chosen = min(range(len(near)), key=lambda i: near[i]["predicted_loss"])
    rows = [
        [
            c["shape"],
            c["parameters"],
            c["tokens"],
            c["tokens_per_second"],
            "yes" if c["measured"] else "no",
            c["predicted_loss"],
        ]
        for c in near
    ]
    page.table(
        ("layers x width", "parameters", "tokens", "tokens a second", "timed here", "predicted loss"),
        rows,
        "The law was fitted to far larger models on other text: it ranks sizes; its losses are not ours.",
        highlight=chosen,
    )


def cost(
    page: Page, config: LifeConfig, facts: Mapping[str, Any], times: Sequence[tuple[str, float, float]]
) -> None:
    page.section("What it cost", "Time by stage, and what the training came to.")
    page.table(("stage", "budget (s)", "took (s)"), [[n, round(b, 1), round(s, 1)] for n, b, s in times])
    hours = sum(seconds for _, _, seconds in times) / 3600
    costs: dict[str, object] = {"training operations": f"{facts['train']['flops']:.3g}"}
    if config.watts is not None:
        costs["energy, all stages (Wh)"] = config.watts * hours
    if config.price_per_hour is not None:
        costs["price, all stages"] = config.price_per_hour * hours
    if len(costs) == 1:
        costs["energy and price"] = "give --watts and --price-per-hour to have them stated"
    page.facts(costs)


def duration(seconds: float) -> str:
    minutes = seconds / 60
    return f"{minutes:.1f} minutes" if minutes >= 1 else f"{seconds:.0f} seconds"


def _short(number: float) -> str:
    for unit, name in ((1e9, " B"), (1e6, " M"), (1e3, " k")):
        if number >= unit:
            return f"{number / unit:.3g}{name}"
    return f"{number:g}"
