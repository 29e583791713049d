// The panel of settings: system prompt and sampling.

import { make, one } from "./dom.js"
import { word } from "./words.js"

const CONTROLS = [
  { name: "temperature", min: 0, max: 2, step: 0.05 },
  { name: "top_p", min: 0.01, max: 1, step: 0.01 },
  { name: "top_k", min: 1, max: 1000, step: 1, whole: true },
  { name: "min_p", min: 0, max: 1, step: 0.01 },
  { name: "repetition_penalty", min: 0.5, max: 2, step: 0.05 },
  { name: "max_tokens", min: 1, max: 1_000_000, step: 1, whole: true },
  { name: "seed", min: 0, max: 2 ** 53 - 1, step: 1, whole: true },
]

/** What a request says about sampling: only what the reader has set. */
export function samplingOf(kept) {
  const set = CONTROLS.filter(({ name }) => Number.isFinite(kept[name]))
  return Object.fromEntries(set.map(({ name }) => [name, kept[name]]))
}

export class SettingsPanel {
  /** `changed(sampling)` and `systemChanged(text)` are called when the reader has changed something. */
  constructor({ sampling, standard, changed, systemChanged }) {
    this.standard = standard
    this.root = one("#settings")
    this.sampling = { ...sampling }
    this.changed = changed
    this.systemChanged = systemChanged
    this.system = ""
    this.defaults = {}
  }

  /** Shows the system prompt of a conversation. */
  open(system) {
    this.system = system
    const field = one("#system", this.root)
    if (field) field.value = system
  }

  /** What the served model does where nothing is set, as far as the server says it. */
  modelDefaults(defaults) {
    this.defaults = defaults ?? {}
    this.render()
  }

  render() {
    const system = make("textarea", {
      id: "system",
      rows: "4",
      placeholder: word("systemHint"),
      dir: "auto",
      "aria-describedby": "system-help",
    })
    system.value = this.system
    system.addEventListener("input", () => {
      this.system = system.value
      this.systemChanged(system.value)
    })
    const reset = make(
      "button",
      { type: "button", class: "plain", click: () => this.reset() },
      word("defaults"),
    )
    this.root.replaceChildren(
      make("label", { class: "field-name", for: "system" }, word("system")),
      system,
      make("p", { class: "help", id: "system-help" }, word("systemHelp")),
      make(
        "fieldset",
        {},
        make("legend", {}, word("sampling")),
        ...CONTROLS.map((control) => this.control(control)),
        reset,
      ),
      make("p", { class: "help" }, word("privacy")),
    )
  }

  control({ name, min, max, step, whole }) {
    const id = `set-${name}`
    const before = this.defaults[name]
    const placeholder =
      before === undefined || before === null ? (word("unset")[name] ?? word("unset.other")) : String(before)
    const mode = whole ? "numeric" : "decimal"
    const field = make("input", {
      type: "number",
      id,
      min,
      max,
      step: whole ? 1 : "any",
      inputmode: mode,
      placeholder,
      "aria-describedby": `${id}-help`,
    })
    if (Number.isFinite(this.sampling[name])) field.value = this.sampling[name]
    const slides = max <= 2
    const slide =
      slides &&
      make("input", { type: "range", min, max, step, "aria-label": word(`names.${name}`), tabindex: "-1" })
    if (slide) slide.value = this.sampling[name] ?? before ?? (name === "min_p" ? 0 : 1)
    const set = (text) => {
      const value = text === "" ? NaN : Number(text)
      const sound =
        Number.isFinite(value) && value >= min && value <= max && (!whole || Number.isInteger(value))
      field.setAttribute("aria-invalid", String(text !== "" && !sound))
      this.sampling[name] = sound ? value : null
      this.changed(this.sampling)
    }
    field.addEventListener("input", () => {
      set(field.value)
      if (slide && field.value) slide.value = field.value
    })
    if (slide) slide.addEventListener("input", () => set((field.value = slide.value)))
    const label = make("label", { for: id }, word(`names.${name}`))
    const help = make("p", { class: "help", id: `${id}-help` }, word(`helps.${name}`))
    return make("div", { class: slides ? "control slides" : "control" }, label, field, slide, help)
  }

  reset() {
    this.sampling = { ...this.standard }
    this.changed(this.sampling)
    this.render()
    one("fieldset button", this.root).focus()
  }
}
