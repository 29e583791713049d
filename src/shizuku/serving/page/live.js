// The line of figures under the message field: tokens and speed of this answer, memory and load of the server.

import { make, one } from "./dom.js"
import { rate, word } from "./words.js"

const EVERY = { writing: 2000, idle: 15_000 }

export class Live {
  constructor(api) {
    this.api = api
    this.root = one("#live")
    this.figures = {}
    document.addEventListener("visibilitychange", () => document.hidden || this.ask())
  }

  /** Begins to watch; the server is asked more often while it writes, and not at all from a hidden page. */
  watch() {
    clearTimeout(this.timer)
    this.timer = setTimeout(() => this.ask(), this.answering ? EVERY.writing : EVERY.idle)
  }

  async ask() {
    clearTimeout(this.timer)
    if (document.hidden) return
    try {
      const { memory_bytes: memory, running, waiting } = await this.api.status()
      Object.assign(this.figures, { memory, running, waiting })
    } catch (error) {
      this.figures.memory = this.figures.running = this.figures.waiting = null
      if (error.name !== "ServerError" && !error.kind) throw error
    }
    this.render()
    this.watch()
  }

  /** Follows an answer that is being written; shows the figures of the one that has just ended. */
  follow(answering, ended = null) {
    this.answering = answering
    this.figures.stats = (answering ?? ended)?.stats()
    if (answering && !this.asked) this.ask()
    this.asked = Boolean(answering)
    this.render()
  }

  /** Shows the figures of an answer that was written before. */
  show(stats) {
    this.figures.stats = stats
    this.painted = 0
    this.render()
  }

  render() {
    const now = performance.now()
    if (this.painted && this.answering && now - this.painted < 200) return
    this.painted = now
    const { stats, memory, running, waiting } = this.figures
    const rows = [
      [
        "context",
        stats?.prompt
          ? `${(stats.prompt + stats.tokens).toLocaleString()}${this.window ? ` / ${this.window.toLocaleString()}` : ""}`
          : null,
      ],
      ["tokens", stats?.tokens?.toLocaleString()],
      ["speed", stats?.speed ? rate(stats.speed) : null],
      ["first", stats?.first === undefined ? null : `${stats.first.toFixed(2)} s`],
      ["memory", memory ? bytes(memory) : null],
      ["running", running > 1 ? String(running) : null],
      ["waiting", waiting ? String(waiting) : null],
    ]
    const shown = rows.filter(([, value]) => value)
    this.root.replaceChildren(
      ...shown.map(([name, value]) =>
        make("div", { class: `live-${name}` }, make("dt", {}, word(name)), make("dd", {}, value)),
      ),
    )
  }
}

export function bytes(count) {
  return count >= 1e9 ? `${(count / 1e9).toFixed(2)} GB` : `${Math.round(count / 1e6)} MB`
}
