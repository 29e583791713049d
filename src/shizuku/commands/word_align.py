"""`shizuku word-align`: which word says what, in two texts that say the same."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from shizuku.config import VerbConfig
from shizuku.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shizuku.models.alignment import AlignmentModel
    from shizuku.text.bitext import Bitext
    from shizuku.training.counting.alignment import Learned
    from shizuku.training.counting.phrases import Aligned, Phrase


MOST_ITERATIONS = 10_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Config(VerbConfig):
    """Align the words of two texts that say the same, line by line, with IBM's models 1 and 2 and the hidden
    Markov model in both directions; write the alignments, a phrase table, the models, and a page with
    pictures.
    """

    source: Path
    """Text in the one language: a sentence a line, words parted by spaces (.gz too)."""
    target: Path
    """The same sentences in the other language."""
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """Directory of alignments.txt (places of linked words, 0-0 1-2, a sentence a line), phrases.tsv,
    forward/ and backward/ (the models), and report.html.
    """
    iterations: tuple[int, ...] = (5, 5, 5)
    """Iterations of EM with model 1, which knows no places; with model 2, which does; and with the hidden
    Markov model, which knows where the word before came from, and may be left out. The last one is kept.
    """
    symmetry: Literal["grow-diag-final", "intersection", "union", "forward"] = "grow-diag-final"
    """How the two directions become one alignment."""
    null: bool = True
    """Whether a word may come from no word of the other side."""
    lower: bool = False
    """Take upper and lower case for the same."""
    lines: int | None = None
    """Only so many lines from the beginning; none given: all."""
    longest_phrase: int = 4
    """Words of a phrase at most."""
    least: int = 2
    """How often a phrase pair is seen at least, to be in the table."""
    pictures: int = 12
    """Sentences that the page shows."""
    report: bool = True
    """Write report.html."""

    def __post_init__(self) -> None:
        for name, low in (("longest_phrase", 1), ("least", 1), ("pictures", 0)):
            if getattr(self, name) < low:
                flag = name.replace("_", "-")
                raise ConfigError(f"--{flag}: expected at least {low}, found {getattr(self, name)}")
        if self.lines is not None and self.lines < 1:
            raise ConfigError(f"--lines {self.lines}: expected at least 1")
        one_of = min(self.iterations, default=-1) >= 0 and 1 <= sum(self.iterations) <= MOST_ITERATIONS
        if len(self.iterations) not in (2, 3) or not one_of:
            raise ConfigError(
                f"--iterations {' '.join(map(str, self.iterations))}: expected two or three numbers, 0 or "
                f"more of each model, and 1 to {MOST_ITERATIONS:,} of all"
            )


def run(config: Config) -> dict[str, Any]:
    """Learn both directions and write what the help says; where it is and how well it fits."""
    from shizuku.training.resume import alone

    with alone(config.out):
        return _run(config)


def _run(config: Config) -> dict[str, Any]:
    import time

    from shizuku.training.counting.alignment import learn_alignment
    from shizuku.training.counting.phrases import phrase_table

    if config.out.exists() and (not config.out.is_dir() or any(config.out.iterdir())):
        raise ConfigError(f"--out {config.out} is there already: give another place, or remove it first")
    bitext = _read(config)
    begun = time.perf_counter()
    learned = [
        learn_alignment(some, iterations=config.iterations, null=config.null)
        for some in (bitext, bitext.turned())
    ]
    aligned = _aligned(config, bitext, [one.model for one in learned])
    phrases = phrase_table(aligned, longest=config.longest_phrase, least=config.least)
    seconds = time.perf_counter() - begun
    _write(config, bitext, learned, aligned, phrases)
    result: dict[str, Any] = {
        "out": str(config.out),
        "sentences": len(bitext),
        "links": sum(len(links) for _, _, links in aligned),
        "phrases": len(phrases),
        "nats_per_word": max(0.0, -learned[0].logprobs[-1] / sum(map(len, bitext.target))),
        "seconds": seconds,
    }
    if config.report:
        from shizuku.commands.word_align_page import write_page

        result["report"] = str(write_page(config, learned, aligned, phrases, result))
    return result


def _read(config: Config) -> "Bitext":
    from shizuku.progress import say
    from shizuku.text.bitext import read_bitext, unsegmented
    from shizuku.text.problems import Problems
    from shizuku.training.counting.alignment import LONGEST

    problems = Problems()
    bitext = read_bitext(
        config.source,
        config.target,
        lower=config.lower,
        longest=LONGEST,
        lines=config.lines,
        problems=problems,
    )
    if problems:
        say(f"{problems.report()}; their lines in alignments.txt are empty")
    for side, sentences in (("source", bitext.source), ("target", bitext.target)):
        if unsegmented(sentences):
            say(f"--{side}: its words do not seem to be parted by spaces; each would be a whole phrase")
    return bitext


def _aligned(config: Config, bitext: "Bitext", models: "Sequence[AlignmentModel]") -> "list[Aligned]":
    from shizuku.progress import track
    from shizuku.training.counting.phrases import backward_links, forward_links, symmetrised

    found: list[Aligned] = []
    for source, target in track(list(zip(bitext.source, bitext.target, strict=True)), "aligning"):
        forward = forward_links(models[0].align(source, target))
        backward = backward_links(models[1].align(target, source))
        found.append((source, target, symmetrised(forward, backward, config.symmetry)))
    return found


def _write(
    config: Config,
    bitext: "Bitext",
    learned: "Sequence[Learned]",
    aligned: "list[Aligned]",
    phrases: "Sequence[Phrase]",
) -> None:
    from shizuku.checkpoints.alignment import save_alignment
    from shizuku.checkpoints.run_record import run_record
    from shizuku.config import to_dict

    config.out.mkdir(parents=True, exist_ok=True)
    record = run_record(config=to_dict(config))
    for name, one in zip(("forward", "backward"), learned, strict=True):
        save_alignment(config.out / name, model=one.model, run=record)
    lines = [""] * bitext.lines
    for number, (_, _, links) in zip(bitext.numbers, aligned, strict=True):
        lines[number] = " ".join(f"{one}-{other}" for one, other in sorted(links))
    (config.out / "alignments.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    table = [
        f"{' '.join(one.source)}\t{' '.join(one.target)}\t{one.count}\t{one.forward:.6f}\t{one.backward:.6f}"
        for one in phrases
    ]
    head = "source\ttarget\tcount\tp(target|source)\tp(source|target)"
    (config.out / "phrases.tsv").write_text("\n".join([head, *table]) + "\n", encoding="utf-8")


def show(result: dict[str, Any]) -> None:
    """Where everything is."""
    from shizuku.progress import counted

    print(
        f"{counted(result['sentences'], 'sentence')}, {counted(result['links'], 'link')}, "
        f"{counted(result['phrases'], 'phrase')} in "
        f"{result['seconds']:,.0f} s; {result['nats_per_word']:.3f} nats a target word"
    )
    print(f"{result['out']}: alignments.txt, phrases.tsv" + (", report.html" if "report" in result else ""))
