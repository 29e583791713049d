// Markdown blocks: source text to a tree. What models write is covered: headings, lists, quotes, fences, tables.
// Blocks do not depend on what stands before them, so a growing text is parsed from its last block on.

const FENCE = /^( {0,3})(`{3,}|~{3,})[ \t]*([^`]*)$/
const HEADING = /^ {0,3}(#{1,6})(?:[ \t]+|$)/
const RULE = /^ {0,3}([-*_])[ \t]*(?:\1[ \t]*){2,}$/
const QUOTE = /^ {0,3}> ?/
const ITEM = /^( *)([-*+]|\d{1,9}[.)])(?:([ \t]{1,4})|$)/
const DEEPEST = 12

/** Parses from a place in the source on: blocks `{kind, at, …}`, `at` being where the block begins. */
export function parseBlocks(source, from = 0) {
  const lines = []
  for (let at = from; at < source.length;) {
    let end = source.indexOf("\n", at)
    if (end < 0) end = source.length
    lines.push({ text: source.slice(at, end).replace(/\r$/, ""), at })
    at = end + 1
  }
  return blocks(lines, 0)
}

function blocks(lines, depth) {
  const found = []
  for (let at = 0; at < lines.length;) {
    if (!lines[at].text.trim()) {
      at += 1
      continue
    }
    const [block, next] = takeBlock(lines, at, depth)
    found.push({ ...block, at: lines[at].at })
    at = next
  }
  return found
}

function takeBlock(lines, at, depth) {
  const { text } = lines[at]
  if (depth >= DEEPEST) return [{ kind: "paragraph", lines: lines.slice(at) }, lines.length]
  if (FENCE.test(text)) return takeFence(lines, at)
  if (HEADING.test(text)) return takeHeading(lines, at)
  if (RULE.test(text)) return [{ kind: "rule" }, at + 1]
  if (QUOTE.test(text)) return takeQuote(lines, at, depth)
  if (isItem(text)) return takeList(lines, at, depth)
  return takeTable(lines, at) ?? takeParagraph(lines, at)
}

function takeFence(lines, at) {
  const [, indent, marks, info] = FENCE.exec(lines[at].text)
  const closing = new RegExp(`^ {0,3}\\${marks[0]}{${marks.length},}[ \\t]*$`)
  const inside = []
  let next = at + 1,
    closed = false
  for (; next < lines.length && !closed; next += 1) {
    closed = closing.test(lines[next].text)
    if (!closed) inside.push(without(lines[next], indent.length))
  }
  return [{ kind: "code", language: info.trim().split(/\s/)[0], lines: inside, closed }, next]
}

function takeHeading(lines, at) {
  const [mark, signs] = HEADING.exec(lines[at].text)
  let text = lines[at].text.slice(mark.length).trimEnd()
  const bare = text.replace(/#+$/, "")
  if (bare === "" || /\s$/.test(bare)) text = bare.trimEnd()
  return [{ kind: "heading", level: signs.length, lines: [{ text, at: lines[at].at + mark.length }] }, at + 1]
}

function takeQuote(lines, at, depth) {
  const inside = []
  let next = at
  for (; next < lines.length; next += 1) {
    const mark = QUOTE.exec(lines[next].text)
    if (!mark) break
    inside.push({ text: lines[next].text.slice(mark[0].length), at: lines[next].at + mark[0].length })
  }
  return [{ kind: "quote", children: blocks(inside, depth + 1) }, next]
}

function takeList(lines, at, depth) {
  const first = ITEM.exec(lines[at].text)
  const base = first[1].length,
    ordered = isOrdered(first)
  const items = []
  let next = at,
    inside = null,
    width = 0,
    blank = false,
    loose = false
  for (; next < lines.length; next += 1) {
    const { text } = lines[next]
    if (!text.trim()) {
      blank = true
      inside.push({ text: "", at: lines[next].at })
      continue
    }
    const indent = text.length - text.trimStart().length
    const item = indent < base + 2 && !RULE.test(text) && isItem(text, base + 2) ? ITEM.exec(text) : null
    if (item ? isOrdered(item) !== ordered : indent < base + 2 && (blank || interrupts(text))) break
    if (item) {
      loose ||= blank && items.length > 0
      width = item[0].length
      inside = [{ text: text.slice(width), at: lines[next].at + width }]
      items.push(inside)
    } else {
      inside.push(without(lines[next], width))
    }
    blank = false
  }
  const parsed = items.map((item) => task({ children: blocks(item, depth + 1) }))
  loose ||= parsed.some(({ children }) => children.filter((child) => child.kind === "paragraph").length > 1)
  const start = ordered ? parseInt(first[2], 10) : null
  return [{ kind: "list", ordered, start, loose, items: parsed }, next]
}

/** Takes `[ ]` or `[x]` from the beginning of an item. */
function task(item) {
  const line = item.children[0]?.kind === "paragraph" ? item.children[0].lines[0] : null
  const mark = line && /^\[([ xX])\][ \t]+/.exec(line.text)
  if (!mark) return item
  item.children[0].lines[0] = { text: line.text.slice(mark[0].length), at: line.at + mark[0].length }
  return { ...item, done: mark[1] !== " " }
}

function takeTable(lines, at) {
  if (!lines[at].text.includes("|") || !lines[at + 1]?.text.includes("-")) return null
  const head = cells(lines[at]),
    marks = cells(lines[at + 1])
  if (head.length !== marks.length || !marks.every(({ text }) => /^:?-+:?$/.test(text))) return null
  const aligned = marks.map(({ text }) => {
    if (text.endsWith(":")) return text.startsWith(":") ? "center" : "end"
    return "start"
  })
  const rows = []
  let next = at + 2
  for (; next < lines.length && lines[next].text.includes("|"); next += 1) {
    const row = cells(lines[next]).slice(0, head.length)
    while (row.length < head.length) row.push({ text: "", at: lines[next].at })
    rows.push(row)
  }
  return [{ kind: "table", head, aligned, rows }, next]
}

/** The cells of a table's row, each with its place. */
function cells(line) {
  const found = []
  let from = line.text.length - line.text.trimStart().length
  let to = line.text.trimEnd().length
  if (line.text[from] === "|") from += 1
  if (to > from && line.text[to - 1] === "|" && line.text[to - 2] !== "\\") to -= 1
  for (let at = from; at <= to; at += 1) {
    if (at < to && (line.text[at] !== "|" || line.text[at - 1] === "\\")) continue
    const raw = line.text.slice(from, at),
      text = raw.trim()
    found.push({ text, at: line.at + from + raw.length - raw.trimStart().length })
    from = at + 1
  }
  return found
}

function takeParagraph(lines, at) {
  const inside = []
  let next = at
  while (next < lines.length && lines[next].text.trim() && (next === at || !interrupts(lines[next].text))) {
    const { text } = lines[next]
    const kept = text.trim(),
      indent = text.length - text.trimStart().length
    inside.push({ text: kept, at: lines[next].at + indent })
    next += 1
  }
  return [{ kind: "paragraph", lines: inside }, next]
}

/** Whether a line ends the paragraph before it. */
function interrupts(text) {
  if (FENCE.test(text) || HEADING.test(text) || RULE.test(text) || QUOTE.test(text)) return true
  const item = ITEM.exec(text)
  return item !== null && text.length > item[0].length && (!isOrdered(item) || parseInt(item[2], 10) === 1)
}

function isItem(text, deepest = 4) {
  const item = ITEM.exec(text)
  return item !== null && item[1].length < deepest
}

function isOrdered(item) {
  return item[2].length > 1
}

/** A line without up to `most` spaces at its beginning. */
function without(line, most) {
  let count = 0
  while (count < most && line.text[count] === " ") count += 1
  return { text: line.text.slice(count), at: line.at + count }
}
