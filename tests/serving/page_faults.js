function faults() {
  // What a person would stumble over on the page as it is laid out: sentences, none where all is well.
  const faults = [],
    width = document.documentElement.clientWidth
  const seen = (node) => `${node.localName}#${node.id}.${node.className?.baseVal ?? node.className}`
  const shown = (node) => node.checkVisibility({ checkVisibilityCSS: true, checkOpacity: true })
  const nameOf = (node) => {
    const by = node.getAttribute("aria-labelledby")
    if (by) return document.getElementById(by)?.textContent.trim()
    return node.getAttribute("aria-label") || node.labels?.[0]?.textContent.trim() || node.textContent.trim()
  }
  if (document.documentElement.scrollWidth > width) faults.push("the page is wider than its window")
  for (const node of document.querySelectorAll(
    "button, input, select, textarea, a, [role=button], [role=tab]",
  )) {
    if (!shown(node) || node.closest(".veil, .skip")) continue
    const box = node.getBoundingClientRect()
    if (!nameOf(node)) faults.push("has no name: " + seen(node))
    if (box.right > width + 1 || box.left < -1) faults.push("sticks out: " + seen(node))
    if (
      !node.closest(".strip, .reads, .prose, .task, .map") &&
      node.type !== "range" &&
      node.type !== "checkbox" &&
      (box.width < 24 || box.height < 24)
    )
      faults.push(`too small to hit (${box.width} x ${box.height}): ` + seen(node))
  }
  for (const node of document.querySelectorAll(
    "section, aside, nav, [role=log], [role=dialog], [role=group], canvas",
  ))
    if (shown(node) && !nameOf(node)) faults.push("has no name: " + seen(node))
  const ids = [...document.querySelectorAll("[id]")].map((node) => node.id)
  for (const id of ids) if (ids.indexOf(id) !== ids.lastIndexOf(id)) faults.push("two of one id: " + id)
  for (const node of document.querySelectorAll(
    "[aria-controls], [aria-labelledby], [aria-describedby], label[for]",
  ))
    for (const name of ["aria-controls", "aria-labelledby", "aria-describedby", "for"])
      if (shown(node) && node.hasAttribute(name) && !document.getElementById(node.getAttribute(name)))
        faults.push("points nowhere: " + seen(node))
  let level = 0
  for (const node of document.querySelectorAll("h1, h2, h3, h4, h5, h6")) {
    if (node.closest(".prose")) continue // a model's headings are its own
    const now = Number(node.localName[1])
    if (shown(node) && now > level + 1) faults.push(`${node.localName} after h${level}`)
    if (shown(node)) level = now
  }
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true })
  const over = (under, text) => {
    canvas.fillStyle = `rgb(${under.join(" ")})`
    canvas.fillRect(0, 0, 1, 1)
    canvas.fillStyle = text
    canvas.fillRect(0, 0, 1, 1)
    return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3)
  }
  const ground = (node) => {
    const all = []
    for (let at = node; at; at = at.parentElement) all.unshift(getComputedStyle(at).backgroundColor)
    return all.reduce(over, [255, 255, 255])
  }
  const light = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map((c) =>
      c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4,
    )
    return 0.2126 * x + 0.7152 * y + 0.0722 * z
  }
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
  const told = new Set()
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const parent = node.parentElement
    if (
      !node.data.trim() ||
      !shown(parent) ||
      parent.closest(".unseen, .skip, :disabled, script, style, option")
    )
      continue
    const under = ground(parent),
      ink = over(under, getComputedStyle(parent).color)
    const [a, b] = [light(under), light(ink)].sort((p, q) => q - p)
    const ratio = (a + 0.05) / (b + 0.05)
    if (ratio < 4.5)
      told.add(`hard to read (${ratio.toFixed(2)}): ${seen(parent)} "${node.data.trim().slice(0, 30)}"`)
    const style = getComputedStyle(parent)
    if (parseFloat(style.fontSize) < 10) told.add("too small to read: " + seen(parent))
  }
  return [...faults, ...told]
}
