"""What a report looks like once a browser has laid it out: faults that a person would see."""

from pathlib import Path
from typing import Any

WIDTHS = (1280, 390)
FAULTS = """() => {
  const faults = [], width = document.documentElement.clientWidth
  const seen = (node) => `${node.tagName} "${node.textContent.trim().slice(0, 40)}"`
  if (document.documentElement.scrollWidth > width) faults.push("the page is wider than its window")
  for (const node of document.querySelectorAll("h1, h2, p, figure, figcaption, dl > div, blockquote, a")) {
    const box = node.getBoundingClientRect()
    if (box.right > width + 1 || box.left < -1) faults.push("sticks out: " + seen(node))
    if (node.scrollWidth > node.clientWidth + 1 && getComputedStyle(node).display !== "inline")
      faults.push("overflows: " + seen(node))
  }
  for (const frame of document.querySelectorAll(".scroll:has(table)")) {
    const columns = frame.querySelectorAll("thead th").length
    if (columns < 3 && frame.scrollWidth > frame.clientWidth + 1) faults.push("cut: " + seen(frame))
    const caption = frame.querySelector("caption")
    if (caption && caption.getBoundingClientRect().right > width + 1) faults.push("cut: " + seen(caption))
  }
  for (const svg of document.querySelectorAll("figure svg")) {
    const texts = [...svg.querySelectorAll("text")].filter((node) => node.textContent.trim())
    if (!texts.length) faults.push("a plot without labels")
    const boxes = texts.map((node) => node.getBoundingClientRect()), frame = svg.getBoundingClientRect()
    boxes.forEach((a, i) => {
      if (a.left < frame.left - 2 || a.right > frame.right + 2) faults.push("cut off: " + seen(texts[i]))
      if (a.height < 9) faults.push("too small to read: " + seen(texts[i]))
      boxes.slice(i + 1).forEach((b, k) => {
        const across = Math.min(a.right, b.right) - Math.max(a.left, b.left)
        const down = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top)
        if (across > 1 && down > 3) faults.push(`overlap: ${seen(texts[i])} and ${seen(texts[i + 1 + k])}`)
      })
    })
  }
  return faults
}"""


def faults(browser: Any, page: Path) -> list[str]:
    """Each fault on a desk and on a phone, light and dark; what the page says or fetches is one too."""
    found = []
    for width in WIDTHS:
        for scheme in ("light", "dark"):
            context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
            tab, said, asked = context.new_page(), [], []
            tab.on("console", lambda message, said=said: said.append(message.text))
            tab.on("request", lambda request, asked=asked: asked.append(request.url))
            tab.goto(page.resolve().as_uri())
            grounds = {"light": "rgb(247, 248, 248)", "dark": "rgb(16, 20, 23)"}
            ground = tab.evaluate("getComputedStyle(document.body).backgroundColor")
            here = tab.evaluate(FAULTS) + said + asked[1:]
            here += [] if ground == grounds[scheme] else [f"the ground is {ground}"]
            found += [f"{width} {scheme}: {fault}" for fault in here]
            context.close()
    return found
