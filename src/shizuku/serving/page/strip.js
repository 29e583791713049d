// An answer as its tokens, shaded by probability, each to be opened with a click or from the keyboard.

import { make } from "./dom.js"
import { faceOf, shade, visible } from "./tokens.js"
import { percent, word } from "./words.js"

export class Strip {
  /** `open(index, byKeyboard)` is called for the token that the reader chooses. */
  constructor(log, open) {
    this.log = log
    this.open = open
    this.shown = 0
    this.nodes = []
    this.root = make("div", {
      class: "strip",
      role: "group",
      "aria-label": word("tokenList"),
      translate: "no",
    })
    this.root.addEventListener("click", (event) => this.chosen(event.target, event.detail === 0))
    this.root.addEventListener("keydown", (event) => this.key(event))
    this.root.addEventListener("focusin", (event) => this.focused(event.target))
    this.grow()
  }

  /** Appends the tokens that have come since the last time. */
  grow() {
    for (; this.shown < this.log.count; this.shown += 1) {
      if (!this.line || this.log.texts[this.shown - 1]?.includes("\n")) {
        this.line = make("div", { class: "line", dir: "auto" })
        this.root.append(this.line)
      }
      const node = this.token(this.shown)
      this.nodes.push(node)
      this.line.append(node)
    }
  }

  token(index) {
    const { shown, label, kind } = faceOf(this.log.texts[index])
    const className = `t p${shade(this.log.probability(index))}${kind}`,
      tabindex = index === 0 ? "0" : "-1"
    const attributes = {
      class: className,
      role: "button",
      tabindex,
      "data-index": String(index),
      "aria-label": label,
    }
    return make("span", attributes, shown)
  }

  chosen(target, byKeyboard) {
    const node = target.closest("[data-index]")
    if (node) this.open(Number(node.dataset.index), byKeyboard)
  }

  focused(node) {
    if (!node.dataset.index) return
    const index = Number(node.dataset.index)
    for (const other of this.root.querySelectorAll('[tabindex="0"]')) other.tabIndex = -1
    node.tabIndex = 0
    node.setAttribute(
      "aria-label",
      word("atToken", visible(this.log.texts[index]), percent(this.log.probability(index))),
    )
  }

  key(event) {
    const node = event.target.closest("[data-index]")
    if (!node || event.altKey || event.ctrlKey || event.metaKey) return
    const index = Number(node.dataset.index)
    const lines = { ArrowUp: node.parentNode.previousSibling, ArrowDown: node.parentNode.nextSibling }
    const steps = { ArrowLeft: index - 1, ArrowRight: index + 1, Home: 0, End: this.nodes.length - 1 }
    if (event.key === "Enter" || event.key === " ") this.open(index, true)
    else if (event.key in steps) this.nodes[steps[event.key]]?.focus()
    else if (event.key in lines) lines[event.key]?.firstChild?.focus()
    else return
    event.preventDefault()
  }
}
