// One token under the glass: how likely it was, and what else was.

import { iconButton, make, one } from "./dom.js"
import { visible } from "./tokens.js"
import { percent, word } from "./words.js"

export class Inspector {
  /** `continueWith(view, index, rank)` begins a branch that takes another token, where `canGoOn(turn)`. */
  constructor({ continueWith, canGoOn }) {
    this.continueWith = continueWith
    this.canGoOn = canGoOn
    this.root = one("#inspector")
    this.root.popover = "auto"
    this.root.addEventListener("beforetoggle", (event) => event.newState === "closed" && this.closed())
    this.root.addEventListener("keydown", (event) => this.key(event))
  }

  get isOpen() {
    return this.root.matches(":popover-open")
  }

  /** Opens for a token of a turn; from the keyboard the focus goes in, and back when it is closed. */
  open(view, index, byKeyboard) {
    this.view = view
    this.index = index
    this.returnTo = byKeyboard ? document.activeElement : null
    this.fill()
    if (!this.isOpen) this.root.showPopover()
    this.place()
    if (byKeyboard) one("button", this.root)?.focus()
  }

  move(by) {
    const index = this.index + by
    if (index < 0 || index >= this.view.log.count) return
    const inside = this.root.contains(document.activeElement)
    const label = document.activeElement?.dataset.part
    this.index = index
    this.fill()
    this.place()
    if (inside)
      (
        one(`[data-part="${label}"]:not(:disabled)`, this.root) ?? one("button:not(:disabled)", this.root)
      ).focus()
    if (this.returnTo) this.returnTo = this.view.strip?.nodes[index] ?? this.returnTo
  }

  key(event) {
    const steps = { ArrowLeft: -1, ArrowRight: 1 }
    if (!(event.key in steps) || event.altKey) return
    this.move(steps[event.key])
    event.preventDefault()
  }

  closed() {
    globalThis.CSS?.highlights?.delete("token")
    if (this.returnTo?.isConnected) this.returnTo.focus()
    this.returnTo = null
  }

  fill() {
    const { log } = this.view,
      { index } = this
    const probability = log.probability(index),
      tops = log.tops[index]
    const rank = tops.findIndex((_, at) => log.taken(index, at))
    const step = (name, by, label) =>
      iconButton(name, label, () => this.move(by), { "data-part": name, disabled: !log.texts[index + by] })
    const head = make(
      "div",
      { class: "inspector-head" },
      step("back", -1, word("previousToken")),
      make("span", {}, word("tokenOf", index + 1, log.count)),
      step("next", 1, word("nextToken")),
      iconButton("close", word("close"), () => this.root.hidePopover(), { "data-part": "close" }),
    )
    const title = make("h2", { id: "inspected", translate: "no" }, visible(log.texts[index]))
    const bits = (-log.logprobs[index] / Math.LN2).toFixed(Math.abs(log.logprobs[index]) < 0.07 ? 2 : 1)
    const place = rank >= 0 ? word("rank", rank + 1) : word("notTop", tops.length)
    const figures = make(
      "p",
      { class: "figures" },
      make("strong", {}, percent(probability)),
      ` ${place} · ${word("surprise", bits)}`,
    )
    const note = make("p", { class: "note" }, word("modelsOwn"))
    this.root.replaceChildren(
      head,
      title,
      figures,
      make("h3", {}, word("alternatives")),
      this.alternatives(),
      note,
    )
  }

  alternatives() {
    const { log, turn } = this.view,
      { index } = this
    const tops = log.tops[index],
      free = this.canGoOn(turn) && !turn.writing
    const rows = tops.map(([text, logprob], rank) => {
      const taken = log.taken(index, rank),
        probability = Math.exp(logprob)
      return make("li", {}, this.row(text, probability, taken || !free ? null : () => this.take(rank), taken))
    })
    const inTops = tops.some((_, rank) => log.taken(index, rank))
    if (!inTops) rows.push(make("li", {}, this.row(log.texts[index], log.probability(index), null, true)))
    const sum = tops.reduce(
      (total, [, logprob]) => total + Math.exp(logprob),
      inTops ? 0 : log.probability(index),
    )
    if (1 - sum > 0.0005)
      rows.push(make("li", { class: "rest" }, this.row(word("others"), 1 - sum, null, false, true)))
    return make("ol", { class: "alternatives" }, ...rows)
  }

  row(text, probability, click, taken, rest = false) {
    const bar = make("span", { class: "meter", "aria-hidden": "true" })
    bar.style.setProperty("--share", probability.toFixed(4))
    const label = make("span", { class: "token-text", translate: "no" }, rest ? text : visible(text))
    const parts = [label, make("span", { class: "share" }, percent(probability)), bar]
    if (taken) parts.push(make("span", { class: "unseen" }, word("chosen")))
    if (!click) return make("span", { class: taken ? "alternative taken" : "alternative" }, ...parts)
    const title = word("continueWith", visible(text))
    return make(
      "button",
      {
        type: "button",
        class: "alternative",
        title,
        "aria-label": `${visible(text)} ${percent(probability)}. ${title}`,
        click,
      },
      ...parts,
    )
  }

  take(rank) {
    const { view, index } = this
    this.returnTo = null
    this.root.hidePopover()
    this.continueWith(view, index, rank)
  }

  /** Puts the glass beside its token, inside the window; on a phone the style sheet puts it at the bottom. */
  place() {
    const range = this.view.rangeOf(this.index)
    if (range && globalThis.Highlight) CSS.highlights.set("token", new Highlight(range))
    const box = range?.getClientRects()[0] ?? this.view.element.getBoundingClientRect()
    const own = this.root.getBoundingClientRect(),
      gap = 8
    const left = Math.min(
      Math.max(gap, box.left + box.width / 2 - own.width / 2),
      innerWidth - own.width - gap,
    )
    const below = box.bottom + gap + own.height <= innerHeight
    const top = below ? box.bottom + gap : Math.max(gap, box.top - own.height - gap)
    this.root.style.setProperty("--left", `${left}px`)
    this.root.style.setProperty("--top", `${top}px`)
  }
}
