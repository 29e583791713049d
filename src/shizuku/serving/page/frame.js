// What stands beside the conversation: the list on one side, the panel on the other; drawers where there is no room.

import { all, one } from "./dom.js"

const NARROW = matchMedia("(max-width: 860px)")
const PHONE = matchMedia("(max-width: 560px)")

export class Frame {
  /** `opened(name)` is called when a panel is shown. */
  constructor(opened) {
    this.opened = opened
    for (const width of [NARROW, PHONE]) width.addEventListener("change", () => this.cover())
  }

  get sideShown() {
    return document.body.classList.contains("side-shown")
  }

  /** What lies under a drawer can neither be reached nor read. */
  cover() {
    const panel = PHONE.matches && !one("#panel").hidden
    one(".stage").inert = panel || (NARROW.matches && this.sideShown)
  }

  showSide(on) {
    const inside = one("#side").contains(document.activeElement)
    document.body.classList.toggle("side-shown", on)
    one("#side-open").setAttribute("aria-expanded", String(on))
    this.cover()
    if (on) one("#side-close").focus()
    else if (inside) one("#side-open").focus()
  }

  toConversations() {
    if (NARROW.matches) this.showSide(true)
    const target = one('#list [aria-current="true"]') ?? one("#list .open") ?? one("#new")
    target.focus()
  }

  toggle(name) {
    if (!one("#panel").hidden && !one(`#${name}`).hidden) this.closePanel()
    else this.openPanel(name)
  }

  openPanel(name) {
    one("#panel").hidden = false
    for (const tab of all('[role="tab"]')) {
      const chosen = tab.id === `tab-${name}`
      const controlled = tab.getAttribute("aria-controls")
      tab.setAttribute("aria-selected", String(chosen))
      tab.tabIndex = chosen ? 0 : -1
      one(`#${controlled}`).hidden = !chosen
      one(`#open-${controlled}`).setAttribute("aria-expanded", String(chosen))
    }
    one(`#tab-${name}`).focus()
    this.cover()
    this.opened(name)
  }

  closePanel() {
    const name = one("#attention").hidden ? "settings" : "attention"
    one("#panel").hidden = true
    this.cover()
    for (const button of all(".tool[aria-expanded]")) button.setAttribute("aria-expanded", "false")
    one(`#open-${name}`).focus()
  }
}
