"""What the generator answered, written down as it comes: all that a run can't compute anew.

Prompts, filters and files follow from the settings and these answers, so a run that was killed goes through
the same steps again, asks nothing twice, and goes on where the journal ends.
"""

import errno
import hashlib
import json
import os
from pathlib import Path
from typing import Any

from shizuku.checkpoints.locking import LOCKS, try_lock
from shizuku.errors import ConfigError
from shizuku.tuning.self_instruct.generators import Answer, Question

NAME = "journal.jsonl"


class Journal:
    """The answers of one run, held by one process at a time; `close` it, or use it in a `with` block."""

    def __init__(self, out: Path, settings: dict[str, Any], *, resume: bool) -> None:
        """Open the journal of folder `out`, whose first line is `settings`.

        ConfigError where another process works on it, where there is one but `resume` is not asked for, and
        where it began with other settings. A line that was cut short by the end of its process is removed.
        """
        out.mkdir(parents=True, exist_ok=True)
        path = out / NAME
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        self._answers: dict[int, tuple[str, Answer]] = {}
        try:
            if LOCKS and not try_lock(self._descriptor):
                raise ConfigError(
                    f"--out {out}: another process is working there; wait for it, or give another"
                )
            self._open(path, settings, resume)
        except BaseException:
            os.close(self._descriptor)
            raise

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let other processes have it."""
        os.close(self._descriptor)

    def answer(self, question: Question) -> Answer | None:
        """What was answered to this question, or None.

        ConfigError if something else was asked under its number: the seeds or this program have changed.
        """
        known = self._answers.get(question.number)
        if known is None:
            return None
        digest, answer = known
        if digest != _digest(question):
            raise ConfigError(
                f"--resume: request {question.number} of the journal was another one: the seeds' content or "
                "the version of Shizuku has changed since. Begin anew with another --out"
            )
        return answer

    def __len__(self) -> int:
        return len(self._answers)

    def add(self, question: Question, answer: Answer) -> None:
        """Write down an answer; it is on the disk when this returns."""
        digest = _digest(question)
        self._answers[question.number] = digest, answer
        self._write({"number": question.number, "prompt": digest, "cut": answer.cut, "text": answer.text})

    def _open(self, path: Path, settings: dict[str, Any], resume: bool) -> None:
        content = path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        os.ftruncate(self._descriptor, len(whole))
        os.lseek(self._descriptor, 0, os.SEEK_END)
        lines = whole.decode("utf-8").split("\n")[:-1]  # not splitlines: answers may hold U+2028
        if not lines:
            self._write(settings)
            return
        if not resume:
            raise ConfigError(
                f"--out {path.parent}: a run is there already; go on with --resume, or give another"
            )
        try:
            before, *records = [json.loads(line) for line in lines]
            self._answers = {
                record["number"]: (record["prompt"], Answer(record["text"], record["cut"]))
                for record in records
            }
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigError(f"{path} is damaged ({error}): begin anew with another --out") from error
        changed = [name for name in settings if before.get(name) != settings[name]]
        if changed:
            was = ", ".join(f"--{name.replace('_', '-')} {before.get(name)}" for name in changed)
            raise ConfigError(f"--resume: the run in {path.parent} began with {was}; give the same again")

    def _write(self, record: dict[str, Any]) -> None:
        line = (json.dumps(record, ensure_ascii=False) + "\n").encode("utf-8")
        if os.write(self._descriptor, line) < len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # half a line is removed by --resume
        os.fsync(self._descriptor)


def _digest(question: Question) -> str:
    asked = [question.prompt.text, question.prompt.stop, question.new_tokens, question.temperature]
    return hashlib.blake2b(json.dumps(asked).encode(), digest_size=8).hexdigest()
