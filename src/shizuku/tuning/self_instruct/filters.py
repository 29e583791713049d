"""What a generated task must not be; each fault has a name under which it is counted.

The kinds of faults are those of Wang et al. 2022, section 2.2 and their appendix; the words are ours.
"""

import re
from collections import Counter
from collections.abc import Sequence

from shizuku.text.likeness import tokens, word_count
from shizuku.tuning.self_instruct.tasks import Instance

FEWEST_WORDS, MOST_WORDS = 4, 150
MOST_OUTPUT_WORDS = 1000
_SEEN_OR_DONE = (
    r"images?|pictures?|photos?|photographs?|videos?|audio|graphs?|charts?|diagrams?|maps?|files?|screenshots?"
    r"|draw|sketch|paint|plot|sing|play|visit|go to|click|attached"
)
_BEYOND_TEXT = re.compile(
    rf"\b(?:{_SEEN_OR_DONE})\b|(?:画像|写真|動画|音声|映像|グラフ|地図|図表|ファイル|描い|描く|歌って)",
    re.IGNORECASE,
)
"""Words of what a model of text neither sees nor does."""
_PROGRAM = re.compile(
    r"^(?:please )?(?:write|create|make|design) an? .{0,20}(?:program|script)\b", re.IGNORECASE
)
_NOTHING = re.compile(r"[\W_]*(?:none|n/?a|no output|なし)[\W_]*", re.IGNORECASE)
_FRAME = re.compile(
    r"\bTask ?\d+ ?:|(?:^|\s)(?:Task|Input|Output|Label) ?:|課題 ?\d* ?[:：]|(?:入力|出力|ラベル)[:：]"
)
"""Words of the prompt itself, carried over into what should be a task."""


def instruction_fault(text: str) -> str | None:
    """Why `text` can't be an instruction, or None; whether it is too much like others is not looked at."""
    words = word_count(text)
    if not text:
        return "empty"
    if not text[0].isalnum() and text[0] not in "\"'“‘「『(（":
        return "begins with punctuation"
    if words < FEWEST_WORDS:
        return "too short"
    if words > MOST_WORDS:
        return "too long"
    if _FRAME.search(text):
        return "repeats the prompt's frame"
    if text.rstrip().endswith((":", "：")):
        return "announces what is missing"
    if repeats_itself(text):
        return "repeats itself"
    if _PROGRAM.search(text):
        return "asks for a program"
    return "asks for more than text" if _BEYOND_TEXT.search(text) else None


def instance_fault(instruction: str, instance: Instance) -> str | None:
    """Why an instance is of no use, or None."""
    given, answer = instance.input, instance.output
    if not answer:
        return "no output"
    if answer == given:
        return "output is the input"
    if answer == instruction or given == instruction:
        return "output or input is the instruction"
    if not tokens(answer):
        return "output without a word"
    if word_count(answer) > MOST_OUTPUT_WORDS:
        return "output too long"
    if answer.rstrip().endswith((":", "：")):
        return "output announces what is missing"
    if _FRAME.search(answer) or _FRAME.search(given):
        return "repeats the prompt's frame"
    if _NOTHING.fullmatch(answer):
        return "output says that there is none"
    return "output repeats itself" if repeats_itself(answer) else None


def sound_instances(
    instruction: str, instances: Sequence[Instance], *, most: int
) -> tuple[list[Instance], Counter[str]]:
    """The instances to keep, at most `most`, and how many were dropped for each reason.

    Where one input has different outputs none of them can be trusted.
    """
    dropped: Counter[str] = Counter()
    kept: list[Instance] = []
    outputs: dict[str, set[str]] = {}
    for one in instances:
        outputs.setdefault(one.input, set()).add(one.output)
    for one in instances:
        fault = instance_fault(instruction, one)
        if fault is None and len(outputs[one.input]) > 1:
            fault = "same input, different outputs"
        if fault is None and one in kept:
            fault = "same instance again"
        if fault is None and len(kept) >= most:
            fault = "more than --instances"
        if fault is None:
            kept.append(one)
        else:
            dropped[fault] += 1
    return kept, dropped


def repeats_itself(text: str) -> bool:
    """Whether a model went round in circles: one run of four words or more makes up a third of the text."""
    words = tokens(text)
    if len(words) < 16:
        return False
    runs = Counter(tuple(words[at : at + 4]) for at in range(len(words) - 3))
    most = runs.most_common(1)[0][1]
    return most >= 3 and most * 4 >= len(words) / 3
