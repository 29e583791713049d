// One answer, from the request to its last token.

import { ServerError } from "./api.js"
import { logOf } from "./tokens.js"

const ALTERNATIVES = 8
// A text has no end of its own, and the API's default is 16 tokens.
const LONGEST_TEXT = 256

export class Answering {
  /** Fills `turn` and its log as the answer comes; `changed()` is called for each piece. */
  constructor(api, turn, changed) {
    this.api = api
    this.turn = turn
    this.log = logOf(turn)
    this.changed = changed
    this.abort = new AbortController()
  }

  stop() {
    this.abort.abort()
  }

  get stopped() {
    return this.abort.signal.aborted
  }

  /** The chunks of an answer to messages, or of a text that is continued where the model knows no messages. */
  chunks({ messages, prompt, answerBegins, ...settings }) {
    const body = { ...settings, stream_options: { include_usage: true } }
    const { signal } = this.abort
    if (prompt !== undefined) {
      return this.api.complete({ max_tokens: LONGEST_TEXT, ...body, prompt, logprobs: ALTERNATIVES }, signal)
    }
    const begins = answerBegins.length ? { answer_begins: answerBegins } : {}
    return this.api.chat({ ...body, ...begins, messages, logprobs: true, top_logprobs: ALTERNATIVES }, signal)
  }

  /** Runs to the end; what had come stays in the turn whatever happens. Throws ServerError. */
  async run(asked) {
    const { turn } = this
    this.began = performance.now()
    this.count = 0
    turn.writing = true
    this.changed()
    try {
      for await (const chunk of this.chunks(asked)) this.take(chunk)
      if (!turn.finish) throw new ServerError("broken")
    } catch (error) {
      if (error.name !== "AbortError") throw error
      turn.finish = "stopped"
    } finally {
      turn.writing = false
      turn.tokens = this.log.count ? this.log.saved() : undefined
      turn.stats = this.stats()
    }
  }

  take({ choices, usage, model }) {
    const { turn } = this
    if (model) turn.model = model
    if (usage) this.usage = usage
    const choice = choices?.[0]
    if (!choice) return
    const piece = choice.delta?.content ?? ""
    const tokens = choice.logprobs?.content ?? []
    if (piece || tokens.length) {
      this.last = performance.now()
      this.first ??= this.last
      this.count += tokens.length || 1
    }
    turn.content += this.log.push(tokens, piece)
    if (choice.finish_reason) turn.finish = choice.finish_reason
    this.changed()
  }

  /** Tokens, tokens a second after the first one, seconds until the first one. */
  stats() {
    if (!this.first) return { tokens: 0 }
    const tokens = this.usage?.completion_tokens ?? this.count
    const seconds = (this.last - this.first) / 1000
    const speed = this.count > 1 && seconds > 0 ? (this.count - 1) / seconds : null
    return {
      tokens,
      speed,
      first: (this.first - this.began) / 1000,
      prompt: this.usage?.prompt_tokens ?? null,
    }
  }
}
