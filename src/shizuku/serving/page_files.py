"""The files of the web page, as the server answers with them."""

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

CONTENT_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
# Everything comes from the server itself; a download is a blob that the page makes.
POLICY = "default-src 'self'; object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"


@dataclass(frozen=True, slots=True)
class PageFile:
    """One file, ready to be sent."""

    content: bytes
    """What is in it."""
    headers: dict[str, str]
    """Its type, its digest as ETag, and what keeps a page with a model's words in it harmless."""


def page_file(path: str) -> PageFile | None:
    """The file for a request's path: "/" is the page, "/page/NAME" a part of it; None for anything else."""
    return _all_files().get(path)


@cache
def _all_files() -> dict[str, PageFile]:
    found = {}
    for file in (files("shizuku.serving") / "page").iterdir():
        kind = CONTENT_TYPES.get(file.name[file.name.rfind(".") :])
        if kind is None:
            continue
        content = file.read_bytes()
        headers = {
            "Content-Type": kind,
            "Content-Security-Policy": POLICY,
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cache-Control": "no-cache",
            "ETag": f'"{hashlib.sha256(content).hexdigest()[:16]}"',
        }
        found["/" if file.name == "index.html" else f"/page/{file.name}"] = PageFile(content, headers)
    return found
