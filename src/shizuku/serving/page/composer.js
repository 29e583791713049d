// The field for messages. Enter sends, unless an input method is composing.

import { icon, one } from "./dom.js"
import { isComposing } from "./turn.js"
import { word } from "./words.js"

export class Composer {
  /** `act` has send(text), stop() and editLast(). */
  constructor(act) {
    this.act = act
    this.field = one("#question")
    this.button = one("#send")
    this.writing = false
    one("#composer").addEventListener("submit", (event) => {
      event.preventDefault()
      if (this.writing) act.stop()
      else this.send()
    })
    this.field.addEventListener("keydown", (event) => this.key(event))
    this.field.addEventListener("input", () => this.fit())
  }

  key(event) {
    if (isComposing(event)) return
    if (event.key === "Enter" && !event.shiftKey && !event.altKey) {
      event.preventDefault()
      if (!this.writing) this.send()
    } else if (event.key === "ArrowUp" && !this.field.value && !event.altKey) {
      event.preventDefault()
      this.act.editLast()
    }
  }

  send() {
    const text = this.field.value
    if (!text.trim()) return
    this.put("")
    this.act.send(text)
  }

  put(text) {
    this.field.value = text
    this.fit()
  }

  focus() {
    this.field.focus()
  }

  /** While an answer is written the button stops it. */
  show(writing) {
    this.writing = writing
    this.button.replaceChildren(icon(writing ? "stop" : "send"))
    this.button.classList.toggle("stop", writing)
    const label = word(writing ? "stop" : "send")
    this.button.setAttribute("aria-label", label)
    this.button.title = label
    this.fit()
  }

  fit() {
    this.field.style.height = "auto"
    this.field.style.height = `${this.field.scrollHeight}px`
    this.button.disabled = !this.writing && !this.field.value.trim()
  }
}
