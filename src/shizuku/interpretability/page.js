// All heads of a model over one text: which token looks at which. Drawn from the numbers in this file.
;(() => {
  const data = JSON.parse(document.getElementById("maps-data").textContent)
  const root = document.getElementById("maps")
  const { tokens, layers, heads, causal, start } = data
  const visible = data.visible.map((text) => text.replace(/^␣(?=[^␣])/, "")) // most words begin with a space
  const count = tokens.length
  const bytes = Uint8Array.from(atob(data.weights), (letter) => letter.charCodeAt(0))
  const numbers = new Uint16Array(bytes.buffer)
  const size = causal ? (count * (count + 1)) / 2 : count * count
  const state = {
    layer: start.layer,
    head: start.head,
    from: start.source,
    to: start.target,
    by: false,
    rest: true,
    pair: start.target !== null,
    view: count <= 40 ? "lines" : "matrix",
  }
  const SVG = "http://www.w3.org/2000/svg"
  const LEAST = 0.004 // a share below this is not drawn

  const make = (tag, attributes = {}, ...children) => {
    const node = document.createElement(tag)
    for (const [name, value] of Object.entries(attributes)) {
      if (name.startsWith("on")) node.addEventListener(name.slice(2), value)
      else if (value !== null && value !== false) node.setAttribute(name, value)
    }
    node.append(...children)
    return node
  }
  const draw = (tag, attributes, text) => {
    const node = document.createElementNS(SVG, tag)
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value)
    if (text !== undefined) node.textContent = text
    return node
  }
  const percent = (share) => (share > 0 && share < 0.0005 ? "< 0.1 %" : `${(100 * share).toFixed(1)} %`)
  const token = (at) => make("span", { class: "token", translate: "no" }, visible[at])
  const headName = (layer, head) => `layer ${layers[layer]}, head ${heads[head]}`

  /** The share of its attention that a token gives another, in one head. */
  function raw(layer, head, from, to) {
    if (causal && to > from) return 0
    const row = causal ? (from * (from + 1)) / 2 : from * count
    return numbers[(layer * heads.length + head) * size + row + to] / 65535
  }

  /** The same as it is shown: without the first token where heads rest, if that is left out. */
  function share(layer, head, from, to) {
    const weight = raw(layer, head, from, to)
    if (state.rest) return weight
    const others = 1 - raw(layer, head, from, 0)
    return to === 0 || others < 1e-4 ? 0 : weight / others
  }

  const now = (from, to) => share(state.layer, state.head, from, to)
  const shade = (weight) => Math.cbrt(Math.max(0, weight)) // small weights seen, large ones told apart
  const room = Math.min(380, document.documentElement.clientWidth - 100)
  const cell = Math.floor(Math.max(18, Math.min(46, room / heads.length - 3, 860 / layers.length - 3)))

  // ---- all heads

  const thumbs = make("div", { id: "thumbs" })
  const buttons = layers.map((_, layer) =>
    heads.map((_, head) =>
      make(
        "button",
        { type: "button", tabindex: "-1", onclick: () => choose(layer, head) },
        make("canvas", { "aria-hidden": "true" }),
      ),
    ),
  )

  function layThumbs() {
    const grid = make("div", {
      class: "heads",
      role: "group",
      "aria-label": "every head of every layer",
      style: `grid-template-columns: auto repeat(${heads.length}, ${cell}px)`,
      onkeydown: walkHeads,
    })
    grid.style.setProperty("--cell", `${cell}px`)
    grid.append(make("span", { class: "number across down" }))
    for (const head of heads) grid.append(make("span", { class: "number across" }, String(head)))
    layers.forEach((number, layer) => {
      grid.append(make("span", { class: "number down" }, String(number)), ...buttons[layer])
    })
    thumbs.replaceChildren(grid)
  }

  function walkHeads(event) {
    const steps = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }
    const step = steps[event.key]
    if (!step) return
    event.preventDefault()
    choose(state.layer + step[0], state.head + step[1])
    buttons[state.layer][state.head].focus()
  }

  function paintThumbs() {
    const [red, green, blue] = getComputedStyle(buttons[0][0]).color.match(/[\d.]+/g).map(Number)
    const pair = state.pair && state.to !== null
    const side = pair ? 1 : count
    const most = Math.max(1e-6, ...layers.flatMap((_, layer) => heads.map((_, head) => pairShare(layer, head))))
    layers.forEach((_, layer) =>
      heads.forEach((_, head) => {
        const canvas = buttons[layer][head].firstChild
        const image = new ImageData(side, side)
        const pixels = image.data
        for (let y = 0; y < side; y += 1)
          for (let x = 0; x < (causal ? y + 1 : side); x += 1) {
            const strength = pair ? pairShare(layer, head) / most : shade(share(layer, head, y, x))
            const place = 4 * (y * side + x)
            pixels[place] = red
            pixels[place + 1] = green
            pixels[place + 2] = blue
            pixels[place + 3] = Math.round(255 * strength)
          }
        canvas.width = canvas.height = side
        canvas.className = side < 2 * cell ? "sharp" : ""
        canvas.getContext("2d").putImageData(image, 0, 0)
        const said = pair ? `: ${percent(pairShare(layer, head))}` : ""
        buttons[layer][head].title = headName(layer, head) + said
        buttons[layer][head].setAttribute("aria-label", headName(layer, head) + said)
      }),
    )
  }

  function markThumbs() {
    buttons.forEach((row, layer) =>
      row.forEach((button, head) => {
        const here = layer === state.layer && head === state.head
        button.setAttribute("aria-pressed", String(here))
        button.tabIndex = here ? 0 : -1
      }),
    )
  }

  const pairShare = (layer, head) =>
    state.to === null ? 0 : state.by ? share(layer, head, state.to, state.from) : share(layer, head, state.from, state.to)

  // ---- one head

  const strip = make("div", {
    class: "strip",
    role: "group",
    "aria-label": "the tokens: choose one to look from, another to look at",
    translate: "no",
  })
  // Spaces stand between the boxes of the tokens, so that lines break there; a token of nothing else is shown.
  const nodes = tokens.map((text, at) => {
    const face = text.trim() ? text.trim() : visible[at]
    return make("span", { role: "button", tabindex: "-1", title: data.visible[at], "data-at": String(at) }, face)
  })
  const flow = tokens.flatMap((text, at) =>
    text.trim()
      ? [text.slice(0, text.length - text.trimStart().length), nodes[at], text.slice(text.trimEnd().length)]
      : [nodes[at], text.replace(/[^\n]/g, "")],
  )
  const facts = make("div", { class: "facts", "aria-live": "polite" })
  const frame = make("div", { class: "frame", tabindex: "0", role: "region" })
  const ranks = make("ol", { class: "ranks" })
  const ranksPanel = make("div", { class: "views" })
  const hint = make("p", { class: "about" })
  const names = { layer: make("span"), head: make("span") }

  /** What the chosen token gives to each, or gets from each. */
  const seen = (at) => (state.by ? now(at, state.from) : now(state.from, at))

  function paintStrip() {
    nodes.forEach((node, at) => {
      const blind = causal && (state.by ? at < state.from : at > state.from)
      node.style.setProperty("--share", shade(seen(at)).toFixed(3))
      node.className = at === state.from ? "source" : at === state.to ? "target" : blind ? "blind" : ""
      node.tabIndex = at === state.from ? 0 : -1
    })
  }

  function tell(over = state.to) {
    const parts = []
    const arrow = state.by ? " is read by " : " reads "
    if (over !== null && over !== undefined)
      parts.push(make("div", {}, token(state.from), arrow, token(over), ": ", make("b", {}, percent(seen(over)))))
    const best = tokens.map((_, at) => [seen(at), at]).sort((a, b) => b[0] - a[0] || a[1] - b[1])
    const most = make("div", { class: "most" }, token(state.from), state.by ? " is read most by " : " reads most: ")
    best.slice(0, 4).forEach(([weight, at], place) => {
      if (weight > 0) most.append(place ? ", " : "", token(at), ` ${percent(weight)}`)
    })
    parts.push(most)
    facts.replaceChildren(...parts)
  }

  function paintLines() {
    const step = 23
    const wide = Math.min(190, 14 + 8 * Math.max(...visible.map(widthOf)))
    const gap = Math.max(90, Math.min(260, frame.clientWidth - 2 * wide - 20))
    const width = 2 * wide + gap
    const svg = draw("svg", { width, height: count * step + 34, role: "img" })
    svg.setAttribute("aria-label", `lines from every token to those that it reads, ${headName(state.layer, state.head)}`)
    const left = wide
    const right = wide + gap
    const y = (at) => 34 + at * step + step / 2
    svg.append(draw("text", { x: left - 6, y: 16, "text-anchor": "end", class: "dim" }, "reads"))
    svg.append(draw("text", { x: right + 6, y: 16, class: "dim" }, "is read"))
    for (let from = 0; from < count; from += 1)
      for (let to = 0; to < count; to += 1) {
        const weight = now(from, to)
        const mine = state.by ? to === state.from : from === state.from
        if (weight < LEAST || (!mine && weight < 0.05)) continue
        svg.append(
          draw("path", {
            d: `M${left} ${y(from)}C${left + gap / 2} ${y(from)} ${left + gap / 2} ${y(to)} ${right} ${y(to)}`,
            fill: "none",
            stroke: mine ? "var(--series-2)" : "var(--accent)",
            "stroke-width": (mine ? 0.6 + 4 * weight : 0.4 + 1.6 * weight).toFixed(2),
            "stroke-opacity": (mine ? 0.25 + 0.7 * shade(weight) : 0.3 * weight).toFixed(3),
          }),
        )
      }
    for (let at = 0; at < count; at += 1) {
      const reads = state.by ? at === state.to : at === state.from
      const read = state.by ? at === state.from : at === state.to
      const kind = (mine, chosen) => (chosen ? (mine ? "picked" : "reached") : "")
      svg.append(
        draw("text", { x: left - 6, y: y(at) + 4.5, "text-anchor": "end", "data-at": at, "data-side": "from",
          class: kind(!state.by, reads) }, visible[at]),
        draw("text", { x: right + 6, y: y(at) + 4.5, "data-at": at, "data-side": "to",
          class: kind(state.by, read) }, visible[at]),
      )
    }
    frame.onscroll = null
    frame.replaceChildren(svg)
  }

  function paintMatrix() {
    const step = 22
    const wide = Math.min(150, 14 + 8 * Math.max(...visible.map(widthOf)))
    const top = Math.round(wide * 0.8) + 8
    const width = wide + count * step + Math.round(wide * 0.62)
    const svg = draw("svg", { width, height: top + count * step + 4, role: "img" })
    svg.setAttribute("aria-label", `each row is a token, each column one that it reads, ${headName(state.layer, state.head)}`)
    const x = (at) => wide + at * step
    const y = (at) => top + at * step
    // The names stay in sight while the cells scroll below them.
    const [rows, columns, corner] = [draw("g", {}), draw("g", {}), draw("g", {})]
    rows.append(draw("rect", { width: wide - 2, height: top + count * step + 4, fill: "var(--card)" }))
    columns.append(draw("rect", { width, height: top - 2, fill: "var(--card)" }))
    corner.append(draw("rect", { width: wide - 2, height: top - 2, fill: "var(--card)" }))
    const follow = () => {
      rows.setAttribute("transform", `translate(${frame.scrollLeft} 0)`)
      columns.setAttribute("transform", `translate(0 ${frame.scrollTop})`)
      corner.setAttribute("transform", `translate(${frame.scrollLeft} ${frame.scrollTop})`)
    }
    for (let at = 0; at < count; at += 1) {
      const row = (state.by ? state.to : state.from) === at
      const column = (state.by ? state.from : state.to) === at
      const [rowKind, columnKind] = state.by ? ["reached", "picked"] : ["picked", "reached"]
      rows.append(
        draw("text", { x: wide - 7, y: y(at) + 15.5, "text-anchor": "end", "data-at": at, "data-side": "from",
          class: row ? rowKind : "" }, visible[at]))
      columns.append(
        draw("text", { transform: `translate(${x(at) + 13} ${top - 6}) rotate(-50)`, "data-at": at,
          "data-side": "to", class: column ? columnKind : "" }, visible[at]))
    }
    for (let from = 0; from < count; from += 1) {
      const end = causal ? from + 1 : count
      svg.append(draw("rect", { x: wide, y: y(from), width: end * step, height: step - 2, rx: 3,
        fill: "var(--soft)" }))
      for (let to = 0; to < end; to += 1) {
        const weight = now(from, to)
        if (weight >= LEAST)
          svg.append(draw("rect", { x: x(to) + 1, y: y(from), width: step - 2, height: step - 2, rx: 3,
            fill: "var(--accent)", "fill-opacity": shade(weight).toFixed(3), "pointer-events": "none" }))
      }
    }
    const [row, column] = state.by ? [state.to, state.from] : [state.from, state.to]
    const line = { fill: "none", "stroke-width": 1.5, rx: 4, "pointer-events": "none" }
    if (row !== null)
      svg.append(draw("rect", { ...line, x: wide - 1, y: y(row) - 1.5, width: (causal ? row + 1 : count) * step + 1,
        height: step + 1, stroke: state.by ? "var(--accent)" : "var(--series-2)" }))
    if (column !== null)
      svg.append(draw("rect", { ...line, x: x(column) - 0.5, y: y(causal ? column : 0) - 1.5, width: step + 1,
        height: (causal ? count - column : count) * step + 1, stroke: state.by ? "var(--series-2)" : "var(--accent)" }))
    svg.append(columns, rows, corner)
    frame.onscroll = follow
    const cellAt = (event) => {
      const box = svg.getBoundingClientRect()
      const to = Math.floor((event.clientX - box.left - wide) / step)
      const from = Math.floor((event.clientY - box.top - top) / step)
      return from >= 0 && from < count && to >= 0 && to < (causal ? from + 1 : count) ? [from, to] : null
    }
    svg.addEventListener("pointermove", (event) => {
      const here = cellAt(event)
      if (!here) return
      const [from, to] = here
      if (at(event)) return
      const told = make("div", {}, token(from), " reads ", token(to), ": ", make("b", {}, percent(now(from, to))))
      facts.replaceChildren(told, ...[...facts.children].slice(-1))
    })
    svg.addEventListener("pointerleave", () => tell())
    svg.addEventListener("click", (event) => {
      const here = cellAt(event)
      if (here && !at(event)) point(...(state.by ? here.reverse() : here))
    })
    frame.replaceChildren(svg)
    follow()
  }

  function paintRanks() {
    ranksPanel.hidden = state.to === null
    if (state.to === null) return
    const all = layers.flatMap((_, layer) => heads.map((_, head) => [pairShare(layer, head), layer, head]))
    const best = all.sort((a, b) => b[0] - a[0]).slice(0, 8)
    ranks.replaceChildren(
      ...best.map(([weight, layer, head]) =>
        make("li", {}, make("button",
          { type: "button", onclick: () => choose(layer, head),
            "aria-pressed": String(layer === state.layer && head === state.head) },
          make("span", {}, headName(layer, head)),
          make("i", { style: `width: ${(100 * weight) / Math.max(best[0][0], 1e-6)}%` }),
          make("em", {}, percent(weight)),
        )),
      ),
    )
    const title = make("h2", {}, "Heads that look most from ")
    title.append(token(state.by ? state.to : state.from), " to ", token(state.by ? state.from : state.to))
    ranksPanel.replaceChildren(title, ranks)
  }

  /** About how many narrow letters wide a text is. */
  function widthOf(text) {
    return [...text].reduce((sum, letter) => sum + (letter > "\u2e7f" ? 1.75 : 1), 0)
  }

  // ---- choosing

  function choose(layer, head) {
    state.layer = Math.max(0, Math.min(layers.length - 1, layer))
    state.head = Math.max(0, Math.min(heads.length - 1, head))
    paint()
  }

  /** Looks from a token, or at another: a second choice of the same is taken back. */
  function point(from, to = state.to) {
    state.from = from
    state.to = to === from && causal && to === state.to ? null : to
    paint()
    if (state.pair) paintThumbs()
  }

  function paint() {
    names.layer.textContent = `layer ${layers[state.layer]}`
    names.head.textContent = `head ${heads[state.head]}`
    hint.textContent =
      state.pair && state.to === null ? "For a pair, choose a token to look at." : "A row is a layer, a column a head."
    markThumbs()
    paintStrip()
    tell()
    frame.setAttribute("aria-label", `${state.view}, ${headName(state.layer, state.head)}`)
    if (state.view === "lines") paintLines()
    else paintMatrix()
    paintRanks()
  }

  /** Scrolls the picture so that a token is in it. */
  function reveal(at) {
    const place = at * 22
    const room = frame.clientHeight - 180
    if (place < frame.scrollTop || place > frame.scrollTop + room) frame.scrollTop = place - room / 2
    const [row, column] = [state.by ? state.to : state.from, state.by ? state.from : state.to]
    const left = (column ?? row) * 22
    const across = frame.clientWidth - 220
    if (left < frame.scrollLeft || left > frame.scrollLeft + across) frame.scrollLeft = left - across / 2
  }

  const step = (name) =>
    make("span", { class: "step" },
      make("button", { type: "button", "aria-label": `${name} before`, onclick: () => move(name, -1) }, "‹"),
      names[name],
      make("button", { type: "button", "aria-label": `next ${name}`, onclick: () => move(name, 1) }, "›"))
  const move = (name, by) =>
    name === "layer" ? choose(state.layer + by, state.head) : choose(state.layer, state.head + by)

  /** Buttons of which one is pressed. */
  function choice(label, options, current, set) {
    const group = make("span", { class: "choice", role: "group", "aria-label": label })
    options.forEach(([value, text]) => {
      const button = make("button", { type: "button", "aria-pressed": String(value === current) }, text)
      button.addEventListener("click", () => {
        for (const one of group.children) one.setAttribute("aria-pressed", String(one === button))
        set(value)
        paint()
        paintThumbs()
      })
      group.append(button)
    })
    return group
  }

  strip.append(...flow)
  const at = (event) => event.target.closest?.("[data-at]")?.dataset
  strip.addEventListener("click", (event) => {
    const found = at(event)
    if (!found) return
    const chosen = Number(found.at)
    queueMicrotask(() => reveal(chosen))
    if (event.shiftKey || picking.value === "to") point(state.from, chosen === state.to ? null : chosen)
    else point(chosen)
  })
  strip.addEventListener("pointerover", (event) => at(event) && tell(Number(at(event).at)))
  strip.addEventListener("pointerleave", () => tell())
  strip.addEventListener("keydown", (event) => {
    const here = Number(at(event)?.at)
    const next = { ArrowLeft: here - 1, ArrowRight: here + 1, Home: 0, End: count - 1 }[event.key]
    if (event.key === "Enter" || event.key === " ") return event.preventDefault(), event.target.click()
    if (next === undefined) return
    event.preventDefault()
    if (picking.value === "from") point(Math.max(0, Math.min(count - 1, next)))
    nodes[Math.max(0, Math.min(count - 1, next))].focus()
  })
  frame.addEventListener("click", (event) => {
    const found = at(event)
    if (!found) return
    const first = (found.side === "from") !== state.by
    if (first) point(Number(found.at))
    else point(state.from, Number(found.at) === state.to ? null : Number(found.at))
  })

  const picking = { value: "from" }
  const rest = make("input", { type: "checkbox", checked: "" })
  rest.addEventListener("change", () => {
    state.rest = rest.checked
    paint()
    paintThumbs()
  })
  root.append(
    make("div", { class: "panel all" },
      make("h2", {}, "Every head"),
      hint,
      make("div", { class: "bar", style: "margin-bottom: 10px" },
        choice("what each picture shows", [[false, "whole maps"], [true, "chosen pair"]], state.pair,
          (value) => (state.pair = value))),
      thumbs),
    make("div", { class: "panel look" },
      make("div", { class: "bar" }, step("layer"), step("head"),
        choice("direction", [[false, "reads"], [true, "is read by"]], false, (value) => (state.by = value)),
        make("label", { class: "check", title: "Heads with nothing to say rest on the first token; without it " +
          "the other shares sum to 1" }, rest, "with first token")),
      make("div", { class: "bar" }, make("span", {}, "Click a token to look"),
        choice("what a click does", [["from", "from it"], ["to", "at it"]], "from", (value) => (picking.value = value))),
      strip, facts,
      make("div", { class: "views" },
        choice("picture", [["lines", "lines"], ["matrix", "matrix"]], state.view, (value) => (state.view = value)),
        frame),
      ranksPanel),
  )
  layThumbs()
  paint()
  paintThumbs()
  strip.scrollTop = nodes[state.from].offsetTop - strip.offsetTop - strip.clientHeight / 2
  reveal(state.from)
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", paintThumbs)
  let width = frame.clientWidth
  addEventListener("resize", () => {
    if (frame.clientWidth === width) return
    width = frame.clientWidth
    paint()
  })
})()
