// One turn of the conversation on the page.

import { all, icon, iconButton, languageOf, make } from "./dom.js"
import { Painter, placeOf } from "./painter.js"
import { Strip } from "./strip.js"
import { logOf } from "./tokens.js"
import { rate, word } from "./words.js"

export class TurnView {
  /** `act` has what the reader can ask for: copy, edit, again, choose, inspect, follow. */
  constructor(turn, act) {
    this.turn = turn
    this.act = act
    this.log = logOf(turn)
    this.cost = 0
    this.prose = make("div", { class: "prose" })
    this.prose.addEventListener("click", (event) => this.clicked(event))
    this.painter = new Painter(this.prose, { copy: act.copy, word })
    this.body = make("div", { class: "body" }, this.prose)
    this.foot = make("div", { class: "turn-foot" })
    const name = make("h2", { class: "unseen", id: `turn-${turn.id}` })
    const attributes = { class: `turn ${turn.role}`, "aria-labelledby": name.id }
    this.element = make("article", attributes, name, this.body, this.foot)
    this.element.view = this
    this.refresh()
  }

  get isAnswer() {
    return this.turn.role === "assistant"
  }

  /** Shows the turn as it is now, its buttons and figures too. */
  refresh() {
    this.element.firstChild.textContent = this.isAnswer ? (this.turn.model ?? word("model")) : word("you")
    this.paint()
    this.foot.replaceChildren(...this.tools())
  }

  /** Shows what has come, soon: the longer painting takes, the more seldom it is done. */
  grow() {
    if (this.waiting) return
    this.waiting = setTimeout(() => requestAnimationFrame(() => this.paint()), Math.min(500, this.cost * 5))
  }

  paint() {
    clearTimeout(this.waiting)
    this.waiting = null
    const began = performance.now()
    const language = languageOf(this.turn.content.slice(0, 2000))
    if (language !== this.body.getAttribute("lang")) {
      if (language) this.body.lang = language
      else this.body.removeAttribute("lang")
    }
    if (this.strip) this.strip.grow()
    else if (this.isAnswer) this.painter.update(this.turn.content)
    else this.prose.textContent = this.turn.content
    this.element.classList.toggle("writing", Boolean(this.turn.writing))
    this.act.follow()
    this.cost = performance.now() - began
  }

  /** Shows tokens instead of text, or text instead of tokens. */
  shade(on) {
    if (!this.isAnswer || on === Boolean(this.strip) || (on && !this.log.count)) return
    this.strip = on
      ? new Strip(this.log, (index, byKeyboard) => this.act.inspect(this, index, byKeyboard))
      : null
    this.body.replaceChildren(on ? this.strip.root : this.prose)
    this.paint()
  }

  tools() {
    const { turn, act } = this
    if (turn.writing) return []
    const siblings = act.siblings(turn),
      at = siblings.indexOf(turn)
    const step = (name, to, label) =>
      iconButton(name, label, () => act.choose(siblings[to], name), {
        "data-step": name,
        disabled: !siblings[to],
      })
    const version = make(
      "span",
      { "aria-label": word("version", at + 1, siblings.length), role: "img" },
      `${at + 1}/${siblings.length}`,
    )
    const branches = make(
      "span",
      { class: "branches" },
      step("back", at - 1, word("earlier")),
      version,
      step("next", at + 1, word("later")),
    )
    const copy = iconButton("copy", word("copy"), () => act.copy(turn.content, copy))
    const redo = this.isAnswer
      ? iconButton("again", word("again"), () => act.again(turn), { class: "icon-button again" })
      : iconButton("edit", word("edit"), () => act.edit(this), { class: "icon-button edit" })
    const buttons = make("span", { class: "buttons" }, copy, redo)
    return [siblings.length > 1 && branches, buttons, ...this.figures()].filter(Boolean)
  }

  figures() {
    const { stats, finish } = this.turn
    const said = []
    if (stats?.tokens) said.push(word("stats.tokens", stats.tokens.toLocaleString()))
    if (stats?.speed) said.push(word("stats.speed", rate(stats.speed)))
    if (stats?.first) said.push(word("stats.first", stats.first.toFixed(2)))
    const ended = finish && finish !== "stop" && word("ended")[finish]
    return [said.length && make("span", { class: "figures" }, said.join(" · ")), ended && this.ended(ended)]
  }

  /** Why the answer is no whole one, and the way on from there. */
  ended(why) {
    const click = () => this.act.goOn(this.turn)
    const further = this.log.count > 0 && this.act.canGoOn(this.turn)
    const button = further && make("button", { type: "button", class: "plain go-on", click }, word("goOn"))
    return make("span", { class: "ended" }, why, button)
  }

  /** Turns the message into a field; `send(text)` is called when the reader has changed it. */
  edit(send) {
    const field = make("textarea", { class: "edit-field", "aria-label": word("editing"), dir: "auto" })
    field.value = this.turn.content
    const close = () => {
      this.element.classList.remove("editing")
      this.refresh()
      all(".edit", this.foot)[0]?.focus()
    }
    const submit = () => {
      if (!field.value.trim()) return
      close()
      send(field.value)
    }
    field.addEventListener("keydown", (event) => {
      if (isComposing(event)) return
      if (event.key === "Enter" && !event.shiftKey) submit()
      else if (event.key === "Escape") close()
      else return
      event.preventDefault()
      event.stopPropagation()
    })
    const cancel = make("button", { type: "button", class: "plain", click: close }, word("cancel"))
    const go = make(
      "button",
      { type: "button", class: "primary", click: submit },
      icon("send"),
      word("sendEdited"),
    )
    this.element.classList.add("editing")
    this.prose.replaceChildren(field)
    this.foot.replaceChildren(cancel, go)
    field.focus()
    field.setSelectionRange(field.value.length, field.value.length)
  }

  clicked(event) {
    const busy = event.target.closest("a, button, input, textarea") || !getSelection().isCollapsed
    if (busy || !this.isAnswer || !this.log.count) return
    const place = placeUnder(event.clientX, event.clientY)
    const index = place === null ? -1 : this.log.at(place)
    if (index >= 0) this.act.inspect(this, index, false)
  }

  /** What of the page shows a token: a Range, or null where it has no visible text. */
  rangeOf(index) {
    const range = document.createRange()
    if (this.strip) {
      range.selectNodeContents(this.strip.nodes[index])
      return range
    }
    const from = this.log.starts[index],
      to = Math.max(this.log.end(index), from + 1)
    const walker = document.createTreeWalker(this.prose, NodeFilter.SHOW_TEXT)
    let begun = false
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
      const start = placeOf(node),
        end = start + node.data.length
      if (start === undefined || end <= from || start >= to) continue
      if (!begun) range.setStart(node, Math.max(0, from - start))
      begun = true
      range.setEnd(node, Math.min(node.data.length, to - start))
    }
    return begun ? range : null
  }
}

/** Whether a key belongs to an input method that is composing (Safari ends composing before its last key). */
export function isComposing(event) {
  return event.isComposing || event.keyCode === 229
}

/** The place in the source of the character under a point, or null. */
function placeUnder(x, y) {
  const caret = document.caretPositionFromPoint?.(x, y)
  const range = caret ? null : document.caretRangeFromPoint?.(x, y)
  const node = caret?.offsetNode ?? range?.startContainer,
    offset = caret?.offset ?? range?.startOffset
  const start = node && placeOf(node)
  if (start === undefined || start === null) return null
  for (const at of [offset, offset - 1]) {
    if (at < 0 || at >= node.data.length) continue
    const character = document.createRange()
    character.setStart(node, at)
    character.setEnd(node, at + 1)
    for (const box of character.getClientRects()) {
      if (x >= box.left - 1 && x <= box.right + 1 && y >= box.top - 4 && y <= box.bottom + 4)
        return start + at
    }
  }
  return null
}
