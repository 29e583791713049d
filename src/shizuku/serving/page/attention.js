// What the model reads while it reads: the attention of one head over the conversation.

import { make, one } from "./dom.js"
import { faceOf, textsOf, visible } from "./tokens.js"
import { percent, word } from "./words.js"

const SHADES = 10

export class AttentionPanel {
  /** `ask(layer, head, signal)` gives `{tokens, weights, layers, heads}` or null without a conversation. */
  constructor(ask) {
    this.ask = ask
    this.root = one("#attention")
    this.layer = this.head = 0
    this.from = null
  }

  render() {
    this.pickers = make("div", { class: "pickers" })
    this.about = make("p", { class: "help", role: "status" })
    this.canvas = make("canvas", { role: "img", "aria-label": word("attentionMap") })
    this.map = make("div", { class: "map", hidden: true }, this.canvas, make("i", { class: "row-mark" }))
    this.text = make("div", {
      class: "reads",
      role: "group",
      "aria-label": word("attentionText"),
      translate: "no",
      hidden: true,
    })
    this.row = make("div", { class: "row-facts", "aria-live": "polite" })
    this.root.replaceChildren(
      make("p", { class: "help" }, word("attentionLead")),
      this.pickers,
      this.about,
      this.map,
      this.row,
      this.text,
    )
    this.text.addEventListener("click", (event) => this.point(event.target.dataset?.index))
    this.text.addEventListener(
      "pointerover",
      (event) => event.pointerType === "mouse" && this.point(event.target.dataset?.index),
    )
    this.text.addEventListener("focusin", (event) => this.point(event.target.dataset?.index))
    this.text.addEventListener("keydown", (event) => this.key(event))
    for (const kind of ["pointermove", "pointerdown"])
      this.canvas.addEventListener(kind, (event) => this.over(event))
    if (this.data) this.show()
    else this.about.textContent = word("attentionEmpty")
  }

  /** The conversation has changed: an open panel computes anew, but not while an answer is being written. */
  outdated({ writing = false } = {}) {
    clearTimeout(this.soon)
    if (!this.root.checkVisibility()) return
    if (writing) this.about.textContent = word("attentionStale")
    else this.soon = setTimeout(() => this.load(), 300)
  }

  again() {
    return make("button", { type: "button", class: "plain", click: () => this.load() }, word("refresh"))
  }

  async load() {
    this.request?.abort()
    this.request = new AbortController()
    const { signal } = this.request
    this.about.textContent = word("attentionLoading")
    try {
      const data = await this.ask(this.layer, this.head, signal)
      if (!data) return this.clear()
      data.tokens = textsOf(data.bytes)
      if (data.tokens.length !== this.data?.tokens.length) this.from = null
      this.data = data
      this.about.textContent = data.dropped ? word("attentionCut", data.tokens.length) : ""
      this.from = Math.min(this.from ?? Infinity, data.tokens.length - 1)
      this.show()
    } catch (error) {
      if (error.name === "AbortError") return
      this.about.replaceChildren(error.message || word("errors.gone"), " ", this.again())
    }
  }

  clear() {
    this.data = null
    this.about.textContent = word("attentionEmpty")
    this.map.hidden = this.text.hidden = true
    this.pickers.replaceChildren()
    this.row.replaceChildren()
  }

  show() {
    this.pick()
    this.map.hidden = this.text.hidden = false
    const { tokens } = this.data
    this.faces = tokens.map(faceOf)
    this.nodes = this.faces.map(({ shown, label }, index) =>
      make(
        "span",
        { role: "button", tabindex: "-1", "data-index": String(index), "aria-label": label },
        shown,
      ),
    )
    const parts = this.nodes.flatMap((node, index) =>
      tokens[index].includes("\n") ? [node, make("br")] : [node],
    )
    this.text.replaceChildren(...parts)
    this.draw()
    this.point(this.from)
  }

  pick() {
    const focused = document.activeElement?.id
    const picker = (name, count) => {
      const set = (value) => {
        this[name] = Math.min(count - 1, Math.max(0, value))
        this.load()
      }
      const field = make("input", {
        type: "number",
        id: `pick-${name}`,
        min: "0",
        max: String(count - 1),
        value: String(this[name]),
      })
      field.addEventListener("change", () => set(Number(field.value) || 0))
      const slide = make("input", {
        type: "range",
        id: `slide-${name}`,
        min: "0",
        max: String(count - 1),
        "aria-label": word(name),
      })
      slide.value = this[name]
      slide.addEventListener("change", () => set(Number(slide.value)))
      slide.addEventListener("input", () => (field.value = slide.value))
      return make("div", { class: "picker" }, make("label", { for: field.id }, word(name)), slide, field)
    }
    this.pickers.replaceChildren(picker("layer", this.data.layers), picker("head", this.data.heads))
    if (focused) one(`#${CSS.escape(focused)}`, this.pickers)?.focus()
  }

  /** Draws the whole map, one cell a pair of tokens, darker where more is read. */
  draw() {
    if (!this.data || !this.map || this.map.hidden) return
    const { weights } = this.data,
      count = weights.length
    this.canvas.width = this.canvas.height = count
    const [red, green, blue] = colour(getComputedStyle(this.canvas).color)
    const image = new ImageData(count, count)
    weights.forEach((row, y) =>
      row.forEach((weight, x) => {
        // The cube root makes small weights visible without hiding which are large.
        image.data.set(
          [red, green, blue, Math.round(255 * Math.cbrt(Math.max(0, weight)))],
          4 * (y * count + x),
        )
      }),
    )
    this.canvas.getContext("2d").putImageData(image, 0, 0)
    this.mark()
  }

  mark() {
    const share = 1 / this.data.weights.length
    this.map.style.setProperty("--row", (this.from * share).toFixed(5))
    this.map.style.setProperty("--size", share.toFixed(5))
  }

  over(event) {
    if (event.type === "pointermove" && event.pointerType !== "mouse" && !event.buttons) return
    const box = this.canvas.getBoundingClientRect(),
      count = this.data.weights.length
    const row = Math.floor(((event.clientY - box.top) / box.height) * count)
    const column = Math.floor(((event.clientX - box.left) / box.width) * count)
    if (row >= 0 && row < count) this.point(row, column <= row ? column : null)
  }

  key(event) {
    const steps = { ArrowLeft: this.from - 1, ArrowRight: this.from + 1, Home: 0, End: this.nodes.length - 1 }
    if (!(event.key in steps) || event.altKey) return
    event.preventDefault()
    this.nodes[steps[event.key]]?.focus()
  }

  /** Shows what is read from one token on. */
  point(given, column = null) {
    if (given === undefined || given === null) return
    const from = Number(given),
      { tokens, weights } = this.data,
      row = weights[from]
    this.from = from
    this.nodes.forEach((node, index) => {
      const weight = index <= from ? row[index] : 0
      const seen = index === from ? "from" : `a${Math.round(SHADES * Math.cbrt(weight))}`
      node.className = `t ${seen}${this.faces[index].kind}`
      node.tabIndex = index === from ? 0 : -1
    })
    this.mark()
    const sum = row.reduce((total, weight) => total + weight, 0)
    const best = row
      .map((weight, index) => [weight, index])
      .sort((a, b) => b[0] - a[0])
      .slice(0, 5)
    const head = make(
      "p",
      {},
      make("strong", { translate: "no" }, word("attentionFrom", visible(tokens[from]))),
      " ",
      word("attentionSum", sum.toFixed(4)),
    )
    const at =
      column === null
        ? null
        : make(
            "p",
            {},
            word("attentionAt", visible(tokens[from]), visible(tokens[column]), percent(row[column])),
          )
    const list = best.map(([weight, index]) =>
      make("li", {}, make("span", { translate: "no" }, visible(tokens[index])), " ", percent(weight)),
    )
    this.row.replaceChildren(
      head,
      at ?? "",
      make("p", { class: "help" }, word("attentionTop")),
      make("ol", {}, ...list),
    )
  }
}

function colour(text) {
  return text
    .match(/[\d.]+/g)
    .slice(0, 3)
    .map(Number)
}
