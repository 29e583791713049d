// Making elements. Text always goes in as text: there is no way from a string to markup here.

const SVG = "http://www.w3.org/2000/svg"

/** An element with attributes (functions become listeners, true is an empty attribute) and children, or lists. */
export function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag)
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue
    if (typeof value === "function") node.addEventListener(name, value)
    else node.setAttribute(name, value === true ? "" : value)
  }
  // One by one: what a model writes may have more parts than a call may have arguments.
  for (const child of children.flat())
    if (child !== null && child !== undefined && child !== false) node.append(child)
  return node
}

/** A drawing from the sheet of icons in index.html. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg")
  svg.setAttribute("class", "icon")
  svg.setAttribute("aria-hidden", "true")
  const use = document.createElementNS(SVG, "use")
  use.setAttribute("href", `#icon-${name}`)
  svg.append(use)
  return svg
}

/** A button that shows a drawing and says its name to those who don't see it. */
export function iconButton(name, label, click, attributes = {}) {
  const all = {
    type: "button",
    class: "icon-button",
    "aria-label": label,
    title: label,
    click,
    ...attributes,
  }
  return make("button", all, icon(name))
}

export const one = (selector, root = document) => root.querySelector(selector)
export const all = (selector, root = document) => [...root.querySelectorAll(selector)]

const KANA = /[\u3041-\u30fa]/

/** "ja" where there is kana, else null: so that glyphs and line breaks are Japanese ones. */
export function languageOf(text) {
  return KANA.test(text) ? "ja" : null
}
