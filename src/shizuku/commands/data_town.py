"""`shizuku data town`: write a simulated town's texts and the table of its facts."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shizuku.config import VerbConfig
from shizuku.progress import bar


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(VerbConfig):
    """Write a small town's texts in English and Japanese, and the table of every fact in them."""

    out: Path
    """Directory for documents.parquet and facts.parquet."""
    megabytes: float = 20.0
    """How much text, in millions of bytes of UTF-8; more is told of more days."""
    seed: int = 0
    """Which town: the same seed gives the same bytes on every machine."""
    workers: int = 2
    """Processes that write; the text does not depend on their number."""
    spans: bool = False
    """Also report the 8-grams that stand in most documents (reads everything again)."""


def run(config: Config) -> dict[str, object]:
    """Write the town; counts, shares and the digest."""
    from shizuku.data.town.write import read_town, write_town

    with bar("town", total=config.megabytes, unit="MB") as progress:
        summary = write_town(
            config.out,
            megabytes=config.megabytes,
            seed=config.seed,
            workers=config.workers,
            on_progress=lambda done, _: progress.update(completed=round(done / 1e6, 1)),
        )
    result: dict[str, object] = {
        "documents_path": str(summary.documents_path),
        "facts_path": str(summary.facts_path),
        "bytes": summary.bytes,
        "documents": summary.documents,
        "sentences": summary.sentences,
        "facts": summary.facts,
        "days": summary.days,
        "bytes_by_split": summary.bytes_by_split,
        "bytes_by_language": summary.bytes_by_language,
        "documents_by_register": summary.documents_by_register,
        "choice_bits_per_byte": round(summary.choice_bits / summary.bytes, 4),
        "seconds": round(summary.seconds, 2),
        "digest": summary.digest,
    }
    if config.spans:
        from shizuku.data.town.variety import frequent_spans

        spans = frequent_spans(read_town(summary.documents_path))
        result["frequent_spans"] = {language: dict(found) for language, found in spans.items()}
    return result


def show(result: dict[str, Any]) -> None:
    """The same for people."""
    print(f"{result['bytes'] / 1e6:.2f} MB: {result['documents']:,} texts, {result['sentences']:,} sentences")
    print(f"{result['facts']:,} facts about {result['days']} days, written in {result['seconds']} s")
    for name in ("bytes_by_split", "bytes_by_language", "documents_by_register"):
        print(f"{name.replace('_', ' ')}: " + ", ".join(f"{k} {v:,}" for k, v in result[name].items()))
    print(f"the writer's choices: {result['choice_bits_per_byte']} bits per byte")
    for language, spans in result.get("frequent_spans", {}).items():
        print(f"most frequent 8-grams, {language}:")
        for span, share in spans.items():
            print(f"  {100 * share:5.2f} %  {span}")
    print(f"{result['documents_path']}\n{result['facts_path']}\ndigest {result['digest']}")
