// The tokens of one answer: where each stands in the text, how likely it was, what else was likely.

const SHADES = [0.9, 0.6, 0.3, 0.1, 0.03]

/** The shade of a probability: 0 for what was nearly certain, 5 for a surprise. */
export function shade(probability) {
  const found = SHADES.findIndex((least) => probability >= least)
  return found < 0 ? SHADES.length : found
}

export class TokenLog {
  constructor(saved = null) {
    this.texts = saved?.texts ?? []
    this.starts = saved?.starts ?? []
    this.logprobs = saved?.logprobs ?? []
    this.tops = saved?.tops ?? []
    this.ids = saved?.ids ?? []
    this.length = saved?.length ?? 0
    this.decoder = new TextDecoder()
  }

  get count() {
    return this.texts.length
  }

  /** Adds tokens as `choices[0].logprobs.content` of the API gives them. */
  push(entries) {
    for (const { token, bytes, id, logprob, top_logprobs: top = [] } of entries) {
      // A character may be spread over tokens: it belongs to the one that completes it.
      const text = bytes ? this.decoder.decode(new Uint8Array(bytes), { stream: true }) : token
      this.texts.push(text || bytesShown(bytes))
      this.starts.push(this.length)
      this.logprobs.push(logprob)
      this.ids.push(id ?? null)
      this.tops.push(top.map((other) => [shown(other), other.logprob, other.id ?? null]))
      this.length += text.length
    }
  }

  /** The token that a place in the answer's text belongs to, or -1. */
  at(place) {
    if (place >= this.length || !this.count) return -1
    let low = 0, high = this.count - 1
    while (low < high) {
      const middle = (low + high + 1) >> 1
      if (this.starts[middle] <= place) low = middle
      else high = middle - 1
    }
    return low
  }

  end(index) {
    return this.starts[index + 1] ?? this.length
  }

  probability(index) {
    return Math.exp(this.logprobs[index])
  }

  /** Whether the best token number `rank` is the one that was taken. */
  taken(index, rank) {
    const [text, , id] = this.tops[index][rank]
    return id === null ? text === this.texts[index] : id === this.ids[index]
  }

  /** The log up to a token, for an answer that goes another way from there. */
  before(index) {
    const { texts, starts, logprobs, tops, ids } = this
    const lists = Object.entries({ texts, starts, logprobs, tops, ids }).map(([name, list]) => [name, list.slice(0, index)])
    return new TokenLog({ ...Object.fromEntries(lists), length: starts[index] })
  }

  /** What a copy of the log is made from; small enough to keep with the conversation. */
  saved() {
    const { texts, starts, logprobs, tops, ids, length } = this
    return { texts, starts, logprobs, tops, ids, length }
  }
}

function shown({ token, bytes }) {
  if (!bytes) return token
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(new Uint8Array(bytes))
  } catch {
    return bytesShown(bytes)
  }
}

function bytesShown(bytes) {
  return (bytes ?? []).map((byte) => `‹${byte.toString(16).toUpperCase().padStart(2, "0")}›`).join("")
}

const logs = new WeakMap()

/** The tokens of a turn: the same log for the page that shows it and the answer that fills it. */
export function logOf(turn) {
  if (!logs.has(turn)) logs.set(turn, new TokenLog(turn.tokens))
  return logs.get(turn)
}

/** A token with its spaces and line ends made visible. */
export function visible(text) {
  return text.replaceAll("\n", "↵").replaceAll("\t", "⇥").replace(/^ | $/g, "␣") || "∅"
}
