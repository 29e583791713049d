"""What the base answered, written down, so that a resumed run has it without asking again."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from shizuku.checkpoints.replacing import new_file

BEFORE = "before.json"


def answered_before(out: Path, asked: Any, ask: Callable[[], Any]) -> Any:
    """What `ask` gives, as JSON values: from `out`, where the same was asked before, else written there.

    `asked` is all that decides the answers, as JSON values.
    """
    file = out / BEFORE
    digest = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()
    if file.is_file():
        known = json.loads(file.read_text(encoding="utf-8"))
        if isinstance(known, dict) and known.get("asked") == digest:
            return known["answers"]
    answers = ask()
    out.mkdir(parents=True, exist_ok=True)
    with new_file(file) as made:
        made.write_text(
            json.dumps({"asked": digest, "answers": answers}, ensure_ascii=False), encoding="utf-8"
        )
    return answers
