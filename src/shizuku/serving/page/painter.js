// Markdown into the document, growing: what is finished stays, only the last block is made anew.

import { iconButton, make } from "./dom.js"
import { parseInline } from "./inline.js"
import { parseBlocks } from "./markdown.js"

const places = new WeakMap()

/** Where a text node's first character stood in the source; undefined if it wasn't painted here. */
export const placeOf = (node) => places.get(node)

export class Painter {
  /** `copy(text)` puts text on the clipboard; `word(key)` gives a label in the reader's language. */
  constructor(root, { copy, word }) {
    this.root = root
    this.tools = { copy, word }
    this.reset()
  }

  reset() {
    this.root.replaceChildren()
    this.source = ""
    this.settled = 0
    this.last = null
  }

  /** Shows the source; where it only grew, nothing but its end is touched. */
  update(source) {
    if (source === this.source) return
    if (!source.startsWith(this.source)) this.reset()
    this.source = source
    const blocks = parseBlocks(source, this.settled)
    if (this.growCode(blocks)) return
    for (const node of this.last?.nodes ?? []) node.remove()
    const nodes = blocks.map((block) => paintBlock(block, this.tools))
    for (const node of nodes) this.root.append(node)
    // A block is finished once the line that begins the next one is whole: until then it may still join.
    const end = blocks.at(-1)
    const kept = end && source.indexOf("\n", end.at) >= 0 ? blocks.length - 1 : Math.max(0, blocks.length - 2)
    if (blocks.length) this.settled = blocks[kept].at
    this.last = { blocks: blocks.slice(kept), nodes: nodes.slice(kept) }
  }

  /** Appends to a code block that is still open, so that a selection in it and its scroll place stay. */
  growCode(blocks) {
    const before = this.last?.blocks.at(-1),
      now = blocks.at(-1)
    if (this.last?.blocks.length !== 1 || blocks.length !== 1) return false
    if (before.kind !== "code" || now.kind !== "code" || before.closed || now.closed) return false
    if (before.at !== now.at || before.language !== now.language || !before.lines.length) return false
    const code = this.last.nodes[0].querySelector("code")
    const index = before.lines.length - 1
    const tail = code.lastChild
    if (places.get(tail) !== before.lines[index].at) return false
    tail.remove()
    for (const line of codeLines(now.lines.slice(index))) code.append(line)
    this.last.blocks = blocks
    return true
  }
}

/** Paints a whole source at once, into a new element. */
export function paint(source, tools, tag = "div") {
  const root = make(tag, { class: "prose" })
  new Painter(root, tools).update(source)
  return root
}

function paintBlock(block, tools) {
  switch (block.kind) {
    case "code":
      return paintCode(block, tools)
    case "heading":
      return make(`h${Math.min(6, block.level + 2)}`, { dir: "auto" }, inline(block.lines))
    case "rule":
      return make("hr")
    case "quote":
      return make(
        "blockquote",
        { dir: "auto" },
        block.children.map((child) => paintBlock(child, tools)),
      )
    case "list":
      return paintList(block, tools)
    case "table":
      return paintTable(block)
    default:
      return make("p", { dir: "auto" }, inline(block.lines))
  }
}

function paintCode({ language, lines }, { copy, word }) {
  const code = make("code", {}, codeLines(lines))
  const button = iconButton("copy", word("copyCode"), () => copy(code.textContent, button))
  const name = language || word("code")
  const head = make("div", { class: "code-head" }, make("span", { translate: "no" }, name), button)
  const frame = make("pre", { tabindex: "0", role: "region", "aria-label": name, dir: "ltr" }, code)
  return make("div", { class: "code-block", translate: "no" }, head, frame)
}

function codeLines(lines) {
  return lines.map(({ text, at }, index) => textNode(index < lines.length - 1 ? text + "\n" : text, at))
}

function paintList({ ordered, start, loose, items }, tools) {
  const list = make(ordered ? "ol" : "ul", {
    start: ordered && start !== 1 ? String(start) : null,
    dir: "auto",
  })
  for (const { children, done } of items) {
    const item = make("li", { dir: "auto", class: done === undefined ? null : "task" })
    if (done !== undefined)
      item.append(
        make("input", {
          type: "checkbox",
          disabled: true,
          checked: done,
          "aria-label": tools.word(done ? "taskDone" : "taskOpen"),
        }),
      )
    for (const child of children) {
      if (child.kind === "paragraph" && !loose) inline(child.lines).forEach((node) => item.append(node))
      else item.append(paintBlock(child, tools))
    }
    list.append(item)
  }
  return list
}

function paintTable({ head, aligned, rows }) {
  const row = (cells, tag) =>
    make(
      "tr",
      {},
      cells.map((cell, at) => make(tag, { class: `at-${aligned[at]}`, dir: "auto" }, inline([cell]))),
    )
  const body = make(
    "tbody",
    {},
    rows.map((cells) => row(cells, "td")),
  )
  const table = make("table", {}, make("thead", {}, row(head, "th")), body)
  return make("div", { class: "table-frame", tabindex: "0", role: "region" }, table)
}

const inline = (lines) => parseInline(lines).map(paintNode)

function paintNode(node) {
  switch (node.kind) {
    case "text":
      return textNode(node.text, node.at)
    case "break":
      return make("br")
    case "code":
      return make("code", { translate: "no" }, textNode(node.text, node.at))
    case "link": {
      const safety = { target: "_blank", rel: "noopener noreferrer nofollow", title: node.address }
      return make("a", { href: node.address, ...safety }, node.children.map(paintNode))
    }
    default:
      return make(node.kind, {}, node.children.map(paintNode))
  }
}

function textNode(text, at) {
  const node = document.createTextNode(text)
  places.set(node, at)
  return node
}
