// Inline markdown: text to a tree of nodes, each piece of text with its place in the source.
// Nothing here touches the document, and nothing is HTML: `<b>` is five characters of text.

const SPECIAL = /[\\`*_~[\]!<\n]|https?:\/\//g
const ESCAPED = /[!-/:-@[-`{-~]/
const TARGET = new RegExp(
  String.raw`\(\s*(<[^<>\n]{0,2000}>|[^\s()<>]{0,2000}(?:\([^\s()]{0,500}\)[^\s()<>]{0,500}){0,9})` +
    String.raw`(?:\s+(?:"[^"]{0,300}"|'[^']{0,300}'))?\s*\)`,
  "y",
)
const BARE = /https?:\/\/[^\s<>"'`、。，．「」『』（）【】]{1,2000}/y
const BRACKETED = /<(https?:\/\/[^\s<>]{1,2000}|mailto:[^\s<>]{1,300})>/y
const BREAK = /<br\s{0,9}\/?>/iy
const DEEPEST = 24

/** The address if a reader may be led there, else null: only http, https and mail. */
export function safeAddress(text) {
  let address
  try {
    address = new URL(text.trim())
  } catch {
    return null
  }
  return ["http:", "https:", "mailto:"].includes(address.protocol) ? address.href : null
}

/** Parses lines `{text, at}` (at: place in the source) into nodes: text, code, break, strong, em, del, link. */
export function parseInline(lines) {
  const text = lines.map((line) => line.text).join("\n")
  return new Inline(text, placeIn(lines)).nodes()
}

/** Returns the function from a place in the joined text to the place in the source. */
function placeIn(lines) {
  if (lines.length === 1) return (place) => lines[0].at + place
  const starts = []
  let start = 0
  for (const line of lines) {
    starts.push(start)
    start += line.text.length + 1
  }
  return (place) => {
    let low = 0,
      high = starts.length - 1
    while (low < high) {
      const middle = (low + high + 1) >> 1
      if (starts[middle] <= place) low = middle
      else high = middle - 1
    }
    return lines[low].at + place - starts[low]
  }
}

class Inline {
  constructor(text, place) {
    this.text = text
    this.place = place
    this.out = []
    this.openers = []
    this.waiting = { "*": 0, _: 0, "~": 0, "[": 0 }
    this.ticks = null
  }

  nodes() {
    const { text } = this
    let at = 0
    while (at < text.length) {
      SPECIAL.lastIndex = at
      const found = SPECIAL.exec(text)
      if (!found) break
      this.plain(at, found.index)
      at = this.special(found[0], found.index)
    }
    this.plain(at, text.length)
    return this.out
  }

  plain(from, to) {
    if (to > from) this.out.push({ kind: "text", text: this.text.slice(from, to), at: this.place(from) })
  }

  /** Reads what begins with a special character at `at`; returns where reading goes on. */
  special(mark, at) {
    const { text } = this
    if (mark === "\n") {
      this.out.push({ kind: "break" })
      return at + 1
    }
    if (mark === "\\" && ESCAPED.test(text[at + 1] ?? "")) {
      this.plain(at + 1, at + 2)
      return at + 2
    }
    if (mark === "`") return this.code(at)
    if (mark === "*" || mark === "_" || mark === "~") return this.emphasis(mark, at)
    if (mark === "[" || (mark === "!" && text[at + 1] === "[")) return this.bracket(mark, at)
    if (mark === "]") return this.link(at)
    if (mark === "<" || mark.startsWith("http")) return this.address(mark, at)
    this.plain(at, at + 1)
    return at + 1
  }

  code(at) {
    const length = runLength(this.text, at)
    const end = this.closingTicks(at + length, length)
    if (end < 0) {
      this.plain(at, at + length)
      return at + length
    }
    let from = at + length,
      to = end
    const inside = this.text.slice(from, to)
    if (inside.startsWith(" ") && inside.endsWith(" ") && inside.trim()) [from, to] = [from + 1, to - 1]
    this.out.push({
      kind: "code",
      text: this.text.slice(from, to).replaceAll("\n", " "),
      at: this.place(from),
    })
    return end + length
  }

  /** Where a run of exactly `length` backticks begins at or after `from`; each run is looked at once. */
  closingTicks(from, length) {
    if (!this.ticks) {
      this.ticks = new Map()
      for (const run of this.text.matchAll(/`+/g)) {
        const places = this.ticks.get(run[0].length) ?? []
        this.ticks.set(run[0].length, places)
        places.push(run.index)
      }
      for (const places of this.ticks.values()) places.reverse()
    }
    const places = this.ticks.get(length) ?? []
    while (places.length && places.at(-1) < from) places.pop()
    return places.at(-1) ?? -1
  }

  /** Closes what is open, or opens. Looser than CommonMark where Japanese brackets touch the marks. */
  emphasis(mark, at) {
    const { text } = this
    const length = runLength(text, at)
    const before = text[at - 1] ?? " ",
      after = text[at + length] ?? " "
    const inWord = mark === "_" && isWord(before) && isWord(after)
    let left = length,
      from = at
    if (!inWord && !/\s/.test(before)) {
      while (left && this.waiting[mark]) {
        const used = this.close(mark, left)
        if (!used) break
        left -= used
        from += used
      }
    }
    const opens = !inWord && !/\s/.test(after) && (mark !== "~" || left === 2)
    if (left && opens && this.openers.length < DEEPEST) this.open(mark, left)
    this.plain(from, at + length)
    return at + length
  }

  open(mark, left) {
    this.openers.push({ mark, left, index: this.out.length })
    this.waiting[mark] += 1
  }

  /** Wraps all since the last opener of this mark; returns how many marks that took, 0 if it cannot. */
  close(mark, most) {
    let last = this.openers.length - 1
    while (this.openers[last].mark !== mark) last -= 1
    const opener = this.openers[last]
    const used = mark === "~" ? 2 : Math.min(2, most, opener.left)
    if (used > most || opener.index + 1 >= this.out.length) return 0
    for (const dropped of this.openers.splice(last + 1)) this.waiting[dropped.mark] -= 1
    const children = this.out.splice(opener.index + 1)
    const marks = this.out.pop()
    opener.left -= used
    if (opener.left > 0) this.out.push({ ...marks, text: marks.text.slice(0, opener.left) })
    else {
      this.openers.pop()
      this.waiting[mark] -= 1
    }
    this.out.push({ kind: mark === "~" ? "del" : used === 2 ? "strong" : "em", children })
    return used
  }

  bracket(mark, at) {
    const length = mark === "!" ? 2 : 1
    if (this.openers.length < DEEPEST) this.open("[", length)
    this.plain(at, at + length)
    return at + length
  }

  link(at) {
    if (!this.waiting["["]) {
      this.plain(at, at + 1)
      return at + 1
    }
    TARGET.lastIndex = at + 1
    const target = TARGET.exec(this.text)
    let last = this.openers.length - 1
    while (this.openers[last].mark !== "[") last -= 1
    const { index } = this.openers[last]
    for (const dropped of this.openers.splice(last, target ? Infinity : 1)) this.waiting[dropped.mark] -= 1
    if (!target) {
      this.plain(at, at + 1)
      return at + 1
    }
    const address = safeAddress(target[1].replace(/^<|>$/g, ""))
    const children = this.out.splice(index + 1)
    this.out.pop()
    if (address) this.out.push({ kind: "link", address, children })
    else for (const child of children) this.out.push(child)
    return at + 1 + target[0].length
  }

  address(mark, at) {
    const { text } = this
    if (mark === "<") {
      BREAK.lastIndex = BRACKETED.lastIndex = at
      const broken = BREAK.exec(text)
      if (broken) {
        this.out.push({ kind: "break" })
        return at + broken[0].length
      }
    }
    BARE.lastIndex = at
    const found = mark === "<" ? BRACKETED.exec(text) : BARE.exec(text)
    if (!found) {
      this.plain(at, at + mark.length)
      return at + mark.length
    }
    const written = mark === "<" ? found[1] : withoutEnd(found[0])
    const address = safeAddress(written),
      from = at + (mark === "<" ? 1 : 0)
    const node = { kind: "text", text: written, at: this.place(from) }
    this.out.push(address ? { kind: "link", address, children: [node] } : node)
    return mark === "<" ? at + found[0].length : at + written.length
  }
}

function runLength(text, at) {
  let end = at
  while (text[end] === text[at]) end += 1
  return end - at
}

function isWord(character) {
  return /[\p{L}\p{N}]/u.test(character)
}

/** A bare address without the full stop or bracket that belongs to the sentence around it. */
function withoutEnd(address) {
  let end = address.length
  while (end && /[.,;:!?*_~)\]]/.test(address[end - 1])) {
    if (address[end - 1] === ")" && address.slice(0, end).includes("(")) break
    end -= 1
  }
  return address.slice(0, end)
}
