// The page: its parts, put together.

import { Api } from "./api.js"
import { AttentionPanel } from "./attention.js"
import { Chat } from "./chat.js"
import { Composer } from "./composer.js"
import { icon, make, one } from "./dom.js"
import { Frame } from "./frame.js"
import { Inspector } from "./inspector.js"
import { Live } from "./live.js"
import { Notices } from "./notices.js"
import { SettingsPanel } from "./settings.js"
import { Side, download, showShortcuts } from "./side.js"
import { Settings } from "./store.js"
import { Transcript, copyText } from "./transcript.js"
import { language, preferredLanguage, speak, word } from "./words.js"

const MOST_ATTENTION = 512
const THEMES = ["system", "light", "dark"]
// Small models wander off at temperature 1, where a request that says nothing would be.
const SAMPLING = { temperature: 0.7, top_p: 0.95 }
const DEFAULTS = {
  theme: "system",
  language: null,
  model: null,
  shade: false,
  sampling: SAMPLING,
  system: "",
  key: "",
}

class Page {
  constructor() {
    this.settings = new Settings("shizuku", DEFAULTS)
    this.key = this.settings.get("key")
    this.api = new Api(() => this.key)
    this.notices = new Notices()
    this.live = new Live(this.api)
    this.chat = new Chat(this)
    this.inspector = new Inspector({
      continueWith: (...where) => this.chat.continueWith(...where),
      canGoOn: (turn) => this.chat.canGoOn(turn),
    })
    this.transcript = new Transcript({
      copy: (text, button) => copyText(text, button, (said) => this.notices.say(said)),
      edit: (view) => view.edit((text) => this.chat.send(text, view.turn)),
      again: (turn) => this.chat.again(turn),
      goOn: (turn) => this.chat.goOn(turn),
      canGoOn: (turn) => this.chat.canGoOn(turn),
      choose: (turn, step) => this.choose(turn, step),
      inspect: (...where) => this.inspector.open(...where),
    })
    this.composer = new Composer({
      send: (text) => this.chat.send(text),
      stop: () => this.chat.stop(),
      editLast: () => this.editLast(),
    })
    this.side = new Side({
      open: (conversation) => this.open(conversation),
      rename: (conversation, title) => this.chat.rename(conversation, title),
      remove: (conversation) => this.chat.remove(conversation),
      exported: (conversation) => this.export([conversation]),
    })
    this.panel = new SettingsPanel({
      sampling: this.settings.get("sampling"),
      standard: SAMPLING,
      changed: (sampling) => this.settings.set("sampling", sampling),
      systemChanged: (text) => this.systemChanged(text),
    })
    this.frame = new Frame((name) => name === "attention" && this.attention.load())
    this.attention = new AttentionPanel((layer, head, signal) => this.askAttention(layer, head, signal))
  }

  async start() {
    this.listen()
    this.theme(this.settings.get("theme"))
    this.speak(preferredLanguage(this.settings.get("language")))
    this.shade(this.settings.get("shade"))
    const { hash } = location
    this.chat.begin()
    await Promise.all([this.chat.relist().catch((error) => this.chat.notKept(error)), this.loadModels()])
    const kept = this.chat.list.find(({ id }) => hash === `#c-${id}`)
    if (kept) await this.chat.open(kept)
    if (document.activeElement === document.body && matchMedia("(pointer: fine)").matches)
      this.composer.focus()
    this.live.ask()
  }

  listen() {
    const clicks = {
      "#new": () => this.begin(),
      "#theme": () => this.theme(),
      "#keys": showShortcuts,
      "#shade": () => this.shade(!this.shaded),
      "#language": () => this.changeLanguage(),
      "#export": () => this.export(this.chat.list),
      "#import": () => one("#file").click(),
      "#side-open": () => this.frame.showSide(true),
      "#side-close": () => this.frame.showSide(false),
      "#veil": () => this.frame.showSide(false),
      "#open-attention": () => this.frame.toggle("attention"),
      "#open-settings": () => this.frame.toggle("settings"),
      "#tab-attention": () => this.frame.openPanel("attention"),
      "#tab-settings": () => this.frame.openPanel("settings"),
      "#panel-close": () => this.frame.closePanel(),
    }
    for (const [selector, run] of Object.entries(clicks)) one(selector).addEventListener("click", run)
    one("#file").addEventListener("change", (event) => this.import(event.target))
    one("#model").addEventListener("change", (event) => this.choseModel(event.target.value))
    one('[role="tablist"]').addEventListener("keydown", (event) => {
      if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return
      this.frame.openPanel(event.target.id === "tab-settings" ? "attention" : "settings")
    })
    document.addEventListener("keydown", (event) => this.shortcut(event))
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.attention.draw())
    addEventListener("hashchange", () => {
      const kept = this.chat.list.find(({ id }) => location.hash === `#c-${id}`)
      if (kept && kept.id !== this.chat.conversation.id) this.chat.open(kept)
    })
  }

  shortcut(event) {
    if (event.key === "Escape" && !event.defaultPrevented) return this.escape()
    if (!event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return
    const keys = {
      KeyN: () => this.begin(),
      KeyC: () => this.frame.toConversations(),
      KeyR: () => this.againLast(),
      KeyK: showShortcuts,
      KeyP: () => this.shade(!this.shaded),
      KeyA: () => this.frame.toggle("attention"),
      KeyS: () => this.frame.toggle("settings"),
      KeyQ: () => this.composer.focus(),
    }
    if (!(event.code in keys)) return
    event.preventDefault()
    keys[event.code]()
  }

  /** Closes what lies on top; where nothing does, stops the answer. */
  escape() {
    if (this.inspector.isOpen || one("dialog[open], [popover]:popover-open")) return
    if (this.frame.sideShown) return this.frame.showSide(false)
    if (this.chat.run || this.notices.giveUp) return this.chat.stop()
    if (!one("#panel").hidden) this.frame.closePanel()
  }

  // ---- what the chat tells

  shown() {
    const { chat } = this
    const empty = chat.tree.path().length === 0
    one("#empty").hidden = !empty
    if (!empty) history.replaceState(null, "", `#c-${chat.conversation.id}`)
    else if (location.hash.startsWith("#c-")) history.replaceState(null, "", location.pathname)
    one("#title").textContent = chat.conversation.title || word("untitled")
    document.title = chat.conversation.title ? `${chat.conversation.title} · Shizuku` : "Shizuku"
    this.panel.open(chat.conversation.system)
    this.attention.outdated({ writing: Boolean(chat.run) })
    this.writing(Boolean(chat.run))
    if (!chat.run) this.live.show(chat.tree.path().at(-1)?.stats)
    this.listed()
  }

  listed() {
    this.side.render(this.chat.list, this.chat.conversation.id)
    one("#export").disabled = !this.chat.list.length
  }

  writing(now) {
    this.composer.show(now)
    // Buttons go while an answer is written; whoever pressed one is not left nowhere.
    if (now && document.activeElement === document.body && matchMedia("(pointer: fine)").matches)
      this.composer.focus()
    document.body.classList.toggle("is-writing", now)
  }

  /** Tells what went wrong, with what can be done about it. */
  async fault(error, retry) {
    const again = [word("retry"), retry]
    if (error.kind === "busy") {
      if (await this.notices.wait(word("errors.busy"), error.wait ?? 5)) await retry()
    } else if (error.kind === "key") {
      this.notices.askKey(word(this.key ? "errors.keyWrong" : "errors.key"), (key, keep) => {
        this.key = key
        this.settings.set("key", keep ? key : "")
        this.loadModels().then(retry)
      })
    } else if (error.kind === "full") {
      const anew = [word("newConversation"), () => this.begin()]
      this.notices.show(word("errors.full"), {
        detail: `${word("fullHelp")} ${error.message}`,
        fault: true,
        actions: [anew],
      })
    } else {
      const detail = error.kind === "refused" ? error.message : ""
      this.notices.show(word(`errors.${error.kind}`), { detail, fault: true, actions: [again] })
      if (error.kind === "gone") this.awaitServer(retry)
    }
  }

  /** Says so when the server answers again. */
  awaitServer(retry) {
    clearInterval(this.looking)
    const look = async () => {
      if (document.hidden || !one(".notice.fault")) return
      try {
        await this.api.fetch("health")
      } catch (error) {
        if (error.kind === "gone") return
      }
      clearInterval(this.looking)
      this.loadModels()
      this.notices.show(word("back"), { actions: [[word("retry"), retry]] })
    }
    this.looking = setInterval(look, 3000)
  }

  // ---- models

  async loadModels() {
    try {
      this.models = (await this.api.models()).data
    } catch (error) {
      if (!error.kind) throw error
      return this.fault(error, () => this.loadModels())
    }
    const kept = this.models.find(({ id }) => id === this.settings.get("model"))
    const select = one("#model"),
      several = this.models.length > 1
    select.replaceChildren(...this.models.map(({ id }) => make("option", { value: id }, id)))
    select.hidden = !several
    one("#only-model").hidden = several
    this.choseModel((kept ?? this.models[0])?.id)
  }

  choseModel(id) {
    this.model = id
    const found = this.models?.find((model) => model.id === id)
    if (!found) return
    one("#model").value = id
    one("#only-model").textContent = id
    this.settings.set("model", id)
    this.live.window = found.context_length ?? null
    this.panel.modelDefaults(found.defaults)
    this.attention.outdated()
    this.sayMode()
  }

  /** Whether a model answers messages; one without a chat template can only continue a text. */
  converses(id) {
    const found = this.models?.find((model) => model.id === id)
    return found?.capabilities?.includes("chat") ?? true
  }

  sayMode() {
    const chat = this.converses(this.model)
    one("#question").placeholder = word(chat ? "questionHint" : "textHint")
    one("#empty p").textContent = word(chat ? "emptyText" : "emptyContinue")
    const idea = (text) =>
      make("button", { type: "button", click: () => (this.composer.put(text), this.composer.focus()) }, text)
    one("#ideas").replaceChildren(
      ...word(chat ? "ideas" : "beginnings").map((text) => make("li", {}, idea(text))),
    )
  }

  async askAttention(layer, head, signal) {
    const { tree } = this.chat
    if (!tree.path().length) return null
    const read = this.converses(this.model) ? { messages: tree.messages() } : { text: tree.text() }
    const body = { model: this.model, ...read }
    try {
      return await this.api.attention({ ...body, layer, head }, signal)
    } catch (error) {
      if (error.code !== "too_many_tokens") throw error
    }
    const { tokens } = await this.api.tokenize(body, signal)
    const kept = tokens.slice(-MOST_ATTENTION)
    const found = await this.api.attention({ model: this.model, tokens: kept, layer, head }, signal)
    return { ...found, dropped: tokens.length - kept.length }
  }

  // ---- what the reader does

  async open(conversation) {
    this.frame.showSide(false)
    this.notices.clear()
    await this.chat.open(conversation)
    this.composer.focus()
  }

  begin() {
    this.frame.showSide(false)
    this.notices.clear()
    this.chat.begin()
    this.composer.focus()
  }

  /** Shows another version and leaves the focus on the button that was pressed. */
  choose(turn, step) {
    this.chat.choose(turn)
    const foot = this.transcript.view(turn).foot
    const target =
      one(`[data-step="${step}"]:not(:disabled)`, foot) ?? one("[data-step]:not(:disabled)", foot)
    target?.focus()
  }

  editLast() {
    const asked = this.chat.tree.path().findLast(({ role }) => role === "user")
    if (asked && !this.chat.run) this.transcript.act.edit(this.transcript.view(asked))
  }

  againLast() {
    const last = this.chat.tree.path().findLast(({ role }) => role === "assistant")
    if (last) this.chat.again(last)
  }

  systemChanged(text) {
    this.chat.conversation.system = text
    this.settings.set("system", text)
    this.chat.save(this.chat.tree)
  }

  async export(conversations) {
    const day = new Date().toISOString().slice(0, 10)
    download(`shizuku-${day}.json`, await this.chat.exported(conversations))
  }

  async import(input) {
    const file = input.files[0]
    input.value = ""
    if (!file) return
    try {
      this.notices.show(word("imported", await this.chat.import(await file.text())))
    } catch (error) {
      if (!error.message.startsWith("import")) throw error
      this.notices.show(word(error.message), { fault: true })
    }
  }

  // ---- what is seen

  theme(chosen = null) {
    const theme = chosen ?? THEMES[(THEMES.indexOf(this.settings.get("theme")) + 1) % THEMES.length]
    this.settings.set("theme", theme)
    document.documentElement.dataset.theme = theme
    const button = one("#theme")
    button.replaceChildren(icon(theme))
    button.title = word(`theme.${theme}`)
    button.setAttribute("aria-label", button.title)
    this.attention.draw()
  }

  changeLanguage() {
    const code = language() === "en" ? "ja" : "en"
    this.settings.set("language", code)
    this.speak(code)
  }

  /** Says everything in a language: what stands in the page, and what its parts have made. */
  speak(code) {
    speak(code)
    const button = one("#language")
    button.textContent = word("otherLanguage")
    button.lang = code === "en" ? "ja" : "en"
    this.theme(this.settings.get("theme"))
    this.panel.render()
    this.attention.render()
    this.live.render()
    this.sayMode()
    if (this.chat.tree) this.chat.show(this.chat.tree)
  }

  shade(on) {
    this.shaded = on
    this.settings.set("shade", on)
    one("#shade").setAttribute("aria-pressed", String(on))
    one("#legend").hidden = !on
    this.transcript.shade(on)
  }
}

await new Page().start()
