"""Where the library's sources and the library itself lie, and the digest that ties them together.

Only the standard library is used here: the build reads this file too, before anything is installed.
"""

import hashlib
from pathlib import Path

HERE = Path(__file__).resolve().parent
ENTRY = HERE / "shizuku.cpp"
"""The one translation unit."""
COMMAND = "pip install -e . (in a checkout: python hatch_build.py)"
"""What builds the library anew."""


def library_path() -> Path:
    """Return where the built library belongs."""
    # Not `.so`: pkgutil and its like would take it for a module of Python's.
    return HERE / "libshizuku.native"


def sources_digest() -> str:
    """Return the digest of every source file, 16 hexadecimal digits."""
    digest = hashlib.sha256()
    for path in sorted((*HERE.glob("*.cpp"), *HERE.glob("*.h"))):
        digest.update(path.name.encode() + b"\0" + path.read_bytes().replace(b"\r\n", b"\n") + b"\0")
    return digest.hexdigest()[:16]
