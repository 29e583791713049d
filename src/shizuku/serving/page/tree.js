// A conversation is a tree: an edited question or a second answer is a branch beside the first, never instead.

export const newId = () =>
  Array.from(crypto.getRandomValues(new Uint32Array(3)), (n) => n.toString(36)).join("")

export function newConversation(system = "") {
  const now = Date.now()
  return { id: newId(), title: "", created: now, updated: now, system, chosen: {} }
}

export class Tree {
  /** `conversation.chosen` says for each turn which of those after it is shown. */
  constructor(conversation, turns = []) {
    this.conversation = conversation
    this.turns = new Map(turns.map((turn) => [turn.id, turn]))
    this.after = new Map()
    for (const turn of [...turns].sort((a, b) => a.created - b.created)) this.listed(turn.parent).push(turn)
  }

  listed(parent) {
    if (!this.after.has(parent)) this.after.set(parent, [])
    return this.after.get(parent)
  }

  /** Adds a turn after `parent` ("" is the beginning) and shows it. */
  add(parent, role, content) {
    const siblings = this.listed(parent)
    const created = Math.max(Date.now(), (siblings.at(-1)?.created ?? 0) + 1)
    const turn = { id: newId(), conversation: this.conversation.id, parent, role, content, created }
    this.turns.set(turn.id, turn)
    siblings.push(turn)
    this.choose(turn)
    this.conversation.updated = created
    return turn
  }

  /** Takes back a turn that nothing came of. */
  drop(turn) {
    const siblings = this.listed(turn.parent)
    siblings.splice(siblings.indexOf(turn), 1)
    this.turns.delete(turn.id)
    delete this.conversation.chosen[turn.parent || "begin"]
    if (siblings.length) this.choose(siblings.at(-1))
  }

  choose(turn) {
    this.conversation.chosen[turn.parent || "begin"] = turn.id
  }

  siblings(turn) {
    return this.listed(turn.parent)
  }

  /** The turns that are shown, from the first. */
  path() {
    const shown = []
    for (let parent = ""; ;) {
      const next = this.listed(parent)
      if (!next.length) return shown
      const chosen = this.turns.get(this.conversation.chosen[parent || "begin"])
      const turn = chosen && chosen.parent === parent ? chosen : next.at(-1)
      shown.push(turn)
      parent = turn.id
    }
  }

  /** What is shown as one text, up to and with `end`, for a model that continues texts. */
  text(end = null) {
    const shown = this.path()
    return shown
      .slice(0, end ? shown.indexOf(end) + 1 : shown.length)
      .map(({ content }) => content)
      .join("")
  }

  /** Messages for the API: the system prompt and all turns before `end`, a turn that is shown or none. */
  messages(end = null) {
    const shown = this.path()
    const upTo = end ? shown.indexOf(end) : shown.length
    const { system } = this.conversation
    const said = shown.slice(0, upTo).filter(({ role, content }) => role === "user" || content)
    const turns = said.map(({ role, content }) => ({ role, content }))
    return system.trim() ? [{ role: "system", content: system }, ...turns] : turns
  }
}

/** A conversation as a file that `readExport` reads. */
export function writeExport(pairs) {
  return JSON.stringify({ format: "shizuku-conversations", version: 1, conversations: pairs }, null, 1)
}

/** Conversations from a file, each with new ids; throws an Error whose message is a key of words.js. */
export function readExport(text) {
  let data
  try {
    data = JSON.parse(text)
  } catch {
    throw new Error("importNotJson")
  }
  if (data?.format !== "shizuku-conversations" || !Array.isArray(data.conversations)) {
    throw new Error("importNotOurs")
  }
  return data.conversations.map(renewed)
}

function renewed({ conversation, turns }) {
  if (typeof conversation !== "object" || !conversation || !Array.isArray(turns))
    throw new Error("importNotOurs")
  const id = newId(),
    ids = new Map([["", ""]])
  for (const turn of turns) ids.set(turn.id, newId())
  const kept = turns.map((turn) => {
    const sound = ["user", "assistant"].includes(turn.role) && typeof turn.content === "string"
    if (!sound || !ids.has(turn.parent)) throw new Error("importNotOurs")
    const { tokens, stats, finish, model } = turn
    const created = Number(turn.created) || Date.now()
    const own = { id: ids.get(turn.id), conversation: id, parent: ids.get(turn.parent), created }
    return {
      ...own,
      role: turn.role,
      content: turn.content,
      tokens: soundTokens(tokens),
      stats,
      finish,
      model,
    }
  })
  const chosen = {}
  for (const [parent, turn] of Object.entries(conversation.chosen ?? {})) {
    const key = parent === "begin" ? "begin" : ids.get(parent)
    if (key && ids.has(turn)) chosen[key] = ids.get(turn)
  }
  const title = String(conversation.title ?? ""),
    system = String(conversation.system ?? "")
  const updated = Number(conversation.updated) || Date.now()
  const whole = { id, title, system, chosen, created: Number(conversation.created) || updated, updated }
  return { conversation: { ...whole, named: Boolean(conversation.named) }, turns: kept }
}

function soundTokens(tokens) {
  const lists = ["texts", "starts", "logprobs", "tops", "ids"].map((name) => tokens?.[name])
  const sound = lists.every((list) => Array.isArray(list) && list.length === lists[0].length)
  return sound && Number.isFinite(tokens.length) ? tokens : undefined
}
