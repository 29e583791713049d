// The list of conversations: open, rename, delete (with a way back), export, import.

import { icon, iconButton, make, one } from "./dom.js"
import { isComposing } from "./turn.js"
import { word } from "./words.js"

export class Side {
  /** `act` has open, rename, remove and exported, each taking a conversation. */
  constructor(act) {
    this.act = act
    this.list = one("#list")
    this.menu = make("div", { class: "menu", id: "menu", popover: "auto", role: "menu" })
    this.menu.addEventListener("keydown", (event) => this.menuKey(event))
    document.body.append(this.menu)
  }

  render(conversations, currentId) {
    const focused = document.activeElement?.closest?.("#list [data-id]")?.dataset.id
    this.list.replaceChildren(...conversations.map((conversation) => this.item(conversation, currentId)))
    if (focused) one(`[data-id="${focused}"] .open`, this.list)?.focus()
  }

  item(conversation, currentId) {
    const title = conversation.title || word("untitled"),
      isCurrent = conversation.id === currentId
    const open = make(
      "button",
      {
        type: "button",
        class: "open",
        dir: "auto",
        "aria-current": isCurrent ? "true" : null,
        click: () => this.act.open(conversation),
      },
      title,
    )
    const more = iconButton("more", word("more", title), () => this.openMenu(conversation, item, more), {
      "aria-haspopup": "menu",
    })
    const item = make("li", { "data-id": conversation.id, class: isCurrent ? "current" : null }, open, more)
    return item
  }

  openMenu(conversation, item, button) {
    const entry = (label, run) =>
      make(
        "button",
        { type: "button", role: "menuitem", tabindex: "-1", click: () => (this.menu.hidePopover(), run()) },
        label,
      )
    this.menu.replaceChildren(
      entry(word("rename"), () => this.rename(conversation, item)),
      entry(word("export"), () => this.act.exported(conversation)),
      entry(word("remove"), () => this.act.remove(conversation)),
    )
    this.menu.showPopover()
    const box = button.getBoundingClientRect(),
      own = this.menu.getBoundingClientRect()
    this.menu.style.setProperty("--left", `${Math.min(box.left, innerWidth - own.width - 8)}px`)
    const below = box.bottom + own.height + 8 < innerHeight
    this.menu.style.setProperty("--top", `${below ? box.bottom + 4 : box.top - own.height - 4}px`)
    this.menu.firstChild.focus()
  }

  menuKey(event) {
    const entries = [...this.menu.children],
      at = entries.indexOf(document.activeElement)
    const steps = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: -1 }
    if (event.key === "Tab") this.menu.hidePopover()
    if (!(event.key in steps)) return
    event.preventDefault()
    entries.at(steps[event.key] % entries.length).focus()
  }

  rename(conversation, item) {
    const field = make("input", {
      class: "rename",
      "aria-label": word("newTitle"),
      dir: "auto",
      maxlength: "120",
    })
    field.value = conversation.title
    let done = false
    const end = (keep) => {
      if (done) return
      done = true
      if (keep && field.value.trim()) this.act.rename(conversation, field.value.trim())
      else this.act.rename(conversation, null)
      one(`[data-id="${conversation.id}"] .open`, this.list)?.focus()
    }
    field.addEventListener("keydown", (event) => {
      if (isComposing(event)) return
      if (event.key === "Enter") end(true)
      if (event.key === "Escape") end(false)
      event.stopPropagation()
    })
    field.addEventListener("blur", () => end(true))
    item.replaceChildren(field)
    field.focus()
    field.select()
  }
}

/** Lets the reader keep a text as a file. */
export function download(name, text) {
  const address = URL.createObjectURL(new Blob([text], { type: "application/json" }))
  make("a", { href: address, download: name }).click()
  setTimeout(() => URL.revokeObjectURL(address), 10_000)
}

/** The list of shortcuts, as a dialog. */
export function showShortcuts() {
  const dialog = one("#shortcuts")
  const rows = word("shortcutList").map(([keys, text]) =>
    make(
      "div",
      {},
      make("dt", {}, ...keys.split(" ").map((key) => make("kbd", {}, key))),
      make("dd", {}, text),
    ),
  )
  const close = make(
    "button",
    { class: "icon-button", "aria-label": word("close"), click: () => dialog.close() },
    icon("close"),
  )
  dialog.replaceChildren(
    make("header", {}, make("h2", { id: "shortcuts-title" }, word("shortcuts")), close),
    make("dl", {}, ...rows),
  )
  if (!dialog.open) dialog.showModal()
}
