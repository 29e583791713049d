// What the page has to tell: faults with what can be done about them, and things that can be undone.

import { icon, make, one } from "./dom.js"
import { word } from "./words.js"

export class Notices {
  constructor() {
    this.root = one("#notices")
    this.spoken = one("#said")
  }

  /** Says something to those who don't see the page. */
  say(text) {
    this.spoken.textContent = ""
    setTimeout(() => (this.spoken.textContent = text), 60)
  }

  clear() {
    clearInterval(this.counting)
    this.root.replaceChildren()
  }

  /** Shows a notice in place of the one before; `actions` are pairs of a label and what it does. */
  show(text, { detail = "", actions = [], fault = false, extra = null } = {}) {
    this.clear()
    const close = () => this.clear()
    const buttons = actions.map(([label, run]) =>
      make("button", { type: "button", class: "plain", click: () => (close(), run()) }, label),
    )
    const end = make(
      "button",
      { type: "button", class: "icon-button", "aria-label": word("close"), click: close },
      icon("close"),
    )
    const words = make(
      "div",
      { class: "notice-words" },
      make("p", {}, text),
      detail && make("p", { class: "detail" }, detail),
      extra,
    )
    const notice = make(
      "div",
      { class: fault ? "notice fault" : "notice", role: fault ? "alert" : "status" },
      words,
      ...buttons,
      end,
    )
    this.root.append(notice)
    return notice
  }

  /** Counts the seconds down, then goes on; resolves to false if the reader doesn't want to wait. */
  wait(text, seconds) {
    return new Promise((resolve) => {
      let left = Math.max(1, Math.ceil(seconds))
      const settle = (answer) => {
        this.clear()
        this.giveUp = null
        resolve(answer)
      }
      this.giveUp = () => settle(false)
      const actions = [
        [word("retry"), () => settle(true)],
        [word("giveUp"), () => settle(false)],
      ]
      const notice = this.show(text, { detail: word("retryIn", left), actions, fault: true })
      const detail = one(".detail", notice)
      // Only the first count is read aloud.
      detail.setAttribute("aria-live", "off")
      one(".icon-button", notice).addEventListener("click", () => settle(false))
      this.counting = setInterval(() => {
        left -= 1
        detail.textContent = word("retryIn", left)
        if (left <= 0) settle(true)
      }, 1000)
    })
  }

  /** Asks for an API key; `use(key, remember)` gets it. */
  askKey(text, use) {
    const field = make("input", {
      type: "password",
      id: "api-key",
      autocomplete: "off",
      required: true,
      spellcheck: "false",
    })
    const keep = make("input", { type: "checkbox", id: "keep-key" })
    const label = make("label", { for: "api-key" }, word("apiKey"))
    const remember = make("label", { class: "check" }, keep, word("remember"))
    const submit = (event) => {
      event.preventDefault()
      this.clear()
      use(field.value.trim(), keep.checked)
    }
    const button = make("button", { class: "primary" }, word("useKey"))
    this.show(text, {
      fault: true,
      extra: make("form", { class: "key-form", submit }, label, field, remember, button),
    })
    field.focus()
  }
}
