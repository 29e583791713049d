// The conversation on the page: turns are kept, only what changed is made anew, the end stays in sight.

import { iconButton, one } from "./dom.js"
import { TurnView } from "./turn.js"
import { word } from "./words.js"

const NEAR = 60

export class Transcript {
  constructor(act) {
    this.act = { ...act, follow: () => this.follow(), siblings: (turn) => this.tree.siblings(turn) }
    this.log = one("#log")
    this.scroll = one("#scroll")
    this.latest = one("#latest")
    this.views = new Map()
    this.shaded = false
    this.following = true
    this.scroll.addEventListener("scroll", () => this.scrolled(), { passive: true })
    this.latest.addEventListener("click", () => this.toEnd())
  }

  /** Shows the turns of the tree's path; views of turns that were shown before are used again. */
  show(tree, { fresh = false } = {}) {
    if (fresh) {
      this.views.clear()
      this.following = true
    }
    this.tree = tree
    const path = tree.path(),
      kept = new Map()
    path.forEach((turn, at) => {
      const view = this.views.get(turn.id) ?? new TurnView(turn, this.act)
      kept.set(turn.id, view)
      const there = this.log.children[at]
      if (there !== view.element) this.log.insertBefore(view.element, there ?? null)
      if (!this.views.has(turn.id) || !turn.writing) view.refresh()
    })
    while (this.log.children.length > path.length) this.log.lastChild.remove()
    this.views = kept
    this.shadeAll()
    this.follow()
  }

  view(turn) {
    return this.views.get(turn.id)
  }

  shade(on) {
    this.shaded = on
    this.shadeAll()
  }

  shadeAll() {
    this.observer?.disconnect()
    if (!this.shaded) {
      for (const view of this.views.values()) view.shade(false)
      return
    }
    // Answers become tokens when they come near the window: a long conversation has very many.
    const near = (entries) =>
      entries.forEach((entry) => entry.isIntersecting && entry.target.view.shade(true))
    this.observer = new IntersectionObserver(near, { root: this.scroll, rootMargin: "800px" })
    for (const view of this.views.values()) this.observer.observe(view.element)
  }

  scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.scroll
    this.following = scrollHeight - scrollTop - clientHeight < NEAR
    this.latest.hidden = this.following
  }

  /** Keeps the end in sight, unless the reader has scrolled away from it. */
  follow() {
    if (this.following) this.scroll.scrollTop = this.scroll.scrollHeight
  }

  toEnd() {
    this.following = true
    this.follow()
    this.latest.hidden = true
  }
}

/** Copies text and shows on the button that it was done. */
export async function copyText(text, button, say) {
  try {
    await navigator.clipboard.writeText(text)
  } catch (error) {
    say(word("copyFailed"), error.message)
    return
  }
  const done = iconButton("done", word("copied"), () => {})
  const before = [...button.childNodes]
  button.replaceChildren(...done.childNodes)
  button.classList.add("done")
  say(word("copied"))
  setTimeout(() => {
    button.replaceChildren(...before)
    button.classList.remove("done")
  }, 1600)
}
