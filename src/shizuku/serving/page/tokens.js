// The tokens of one answer: where each stands in the text, how likely it was, what else was likely.

const PARTIAL = /^(?:‹[0-9A-F]{2}›)+$/
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
    this.decoder = new TextDecoder("utf-8", { ignoreBOM: true })
  }

  get count() {
    return this.texts.length
  }

  /**
   * Adds tokens as `choices[0].logprobs.content` of the API gives them, with the text that came along; returns
   * the text to show. A character may be spread over tokens: it belongs to the one that completes it.
   */
  push(entries, piece = null) {
    const texts = entries.map(({ token, bytes }) =>
      bytes ? this.decoder.decode(new Uint8Array(bytes), { stream: true }) : token,
    )
    // The server leaves control tokens out of its text: then its text counts, and the last token bears it.
    const differs = piece !== null && texts.join("") !== piece && !piece.includes("\ufffd")
    if (differs) texts.fill("").splice(-1, 1, piece)
    entries.forEach(({ token, bytes, id, logprob, top_logprobs: top = [] }, at) => {
      this.texts.push(texts[at] || bytesShown(bytes) || token)
      this.starts.push(this.length)
      this.logprobs.push(logprob)
      this.ids.push(id ?? null)
      this.tops.push(top.map((other) => [shown(other), other.logprob, other.id ?? null]))
      this.length += texts[at].length
    })
    return entries.length ? texts.join("") : piece
  }

  /** The token that a place in the answer's text belongs to, or -1. */
  at(place) {
    if (place >= this.length || !this.count) return -1
    let low = 0,
      high = this.count - 1
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

  /** Whether an answer can go on behind these tokens: the server must have named them all. */
  get continuable() {
    return this.count > 0 && this.ids.every((id) => id !== null)
  }

  /** The log up to a token, with another in its place: the one of that rank among the likeliest. */
  branched(index, rank) {
    const lists = {
      texts: this.texts,
      starts: this.starts,
      logprobs: this.logprobs,
      tops: this.tops,
      ids: this.ids,
    }
    for (const [name, list] of Object.entries(lists)) lists[name] = list.slice(0, index)
    const log = new TokenLog({ ...lists, length: this.starts[index] })
    let from = index
    while (from > 0 && this.starts[from - 1] === this.starts[index] && PARTIAL.test(this.texts[from - 1]))
      from -= 1
    for (const text of lists.texts.slice(from)) log.decoder.decode(bytesOf(text), { stream: true })
    const [token, logprob, id] = this.tops[index][rank]
    const top = this.tops[index].map(([other, value, number]) => ({
      token: other,
      logprob: value,
      id: number,
    }))
    const text = log.push([{ token, bytes: bytesOf(token), id, logprob, top_logprobs: top }])
    return { log, text }
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
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(new Uint8Array(bytes))
  } catch {
    return bytesShown(bytes)
  }
}

function bytesShown(bytes) {
  return (bytes ?? []).map((byte) => `‹${byte.toString(16).toUpperCase().padStart(2, "0")}›`).join("")
}

/** Whether a token is bytes of a character that further tokens complete. */
export const isPart = (text) => PARTIAL.test(text)

/** A token's text in a row of tokens, and what is said of it where the text alone doesn't tell. */
export function faceOf(text) {
  if (isPart(text)) return { shown: "·", label: text, kind: " part" }
  return {
    shown: text.includes("\n") ? visible(text) : text,
    label: text.trim() ? null : visible(text),
    kind: "",
  }
}

/** The text of each token, the bytes of a character given to the one that completes it. */
export function textsOf(listOfBytes) {
  const log = new TokenLog()
  log.push(listOfBytes.map((bytes) => ({ token: "", bytes, logprob: 0 })))
  return log.texts
}

/** The bytes of a token as it is kept here: those of a part of a character stand in it as numbers. */
function bytesOf(text) {
  if (!PARTIAL.test(text)) return [...new TextEncoder().encode(text)]
  return text
    .slice(1, -1)
    .split("›‹")
    .map((byte) => parseInt(byte, 16))
}

const logs = new WeakMap()

/** The tokens of a turn: the same log for the page that shows it and the answer that fills it. */
export function logOf(turn) {
  if (!logs.has(turn)) logs.set(turn, new TokenLog(turn.tokens))
  return logs.get(turn)
}

/** Says which log belongs to a turn. */
export const setLog = (turn, log) => logs.set(turn, log)

/** A token with its spaces and line ends made visible. */
export function visible(text) {
  return (
    text
      .replaceAll("\n", "↵")
      .replaceAll("\t", "⇥")
      .replace(/^ +| +$/g, (run) => "␣".repeat(run.length)) || "∅"
  )
}
