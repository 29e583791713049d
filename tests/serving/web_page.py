"""The web page in Chromium: opening it, talking on it, and the faults that a person would meet."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

FAULTS = (Path(__file__).parent / "page_faults.js").read_text(encoding="utf-8")


@contextmanager
def opened(chromium: Any, url: str, settings: dict[str, Any] | None = None, **context: Any) -> Iterator[Any]:
    """A fresh browser profile with the page open; its complaints are gathered in `tab.complaints`."""
    given = {
        "viewport": {"width": 1280, "height": 860},
        "locale": "en-GB",
        "reduced_motion": "reduce",
        **context,
    }
    profile = chromium.new_context(**given)
    kept = {"sampling": {"temperature": 0, "max_tokens": 24}, **(settings or {})}
    once = f"if (!localStorage.shizuku) localStorage.shizuku = {json.dumps(json.dumps(kept))}"
    profile.add_init_script(once)
    tab = profile.new_page()
    tab.set_default_timeout(15_000)
    tab.complaints = []
    tab.on("pageerror", lambda error: tab.complaints.append(str(error)))
    tab.on("console", lambda said: said.type == "error" and tab.complaints.append(said.text))
    try:
        tab.goto(url)
        tab.wait_for_selector("#ideas li")
        tab.wait_for_selector("#only-model:not(:empty), #model:not([hidden]), .notice")
        yield tab
    finally:
        profile.close()


def say(tab: Any, text: str) -> None:
    """Type a message, send it, and wait for the end of the answer."""
    tab.fill("#question", text)
    tab.press("#question", "Enter")
    tab.wait_for_selector(".turn.assistant")
    answered(tab)


def answered(tab: Any) -> None:
    """Wait until nothing is being written."""
    tab.wait_for_selector("body:not(.is-writing)")


def last(tab: Any) -> Any:
    """The answer at the end."""
    return tab.locator(".turn.assistant").last


def kept(tab: Any, store: str) -> list[dict[str, Any]]:
    """What IndexedDB holds."""
    found: list[dict[str, Any]] = tab.evaluate(
        """(name) => new Promise((resolve, reject) => {
          const opening = indexedDB.open("shizuku")
          opening.onerror = () => reject(opening.error)
          opening.onsuccess = () => {
            const all = opening.result.transaction(name).objectStore(name).getAll()
            all.onsuccess = () => (opening.result.close(), resolve(all.result))
          }
        })""",
        store,
    )
    return found
