// The conversations: which one is shown, what is asked, what is answered, what is kept.

import { Answering } from "./answering.js"
import { ServerError } from "./api.js"
import * as store from "./store.js"
import { Tree, newConversation, readExport, writeExport } from "./tree.js"
import { samplingOf } from "./settings.js"
import { logOf, setLog } from "./tokens.js"
import { word } from "./words.js"

const SAVED_EVERY = 5000

export class Chat {
  /** `page` has api, settings, notices, transcript and live, and is told by shown(), listed() and writing(). */
  constructor(page) {
    this.page = page
    this.runs = new Map()
    this.list = []
    this.elsewhere = new BroadcastChannel("shizuku")
    this.elsewhere.onmessage = () => this.relist()
  }

  get conversation() {
    return this.tree.conversation
  }

  get run() {
    return this.runs.get(this.conversation.id)
  }

  /** Private windows and full disks: one can still talk, but it is said that nothing stays. */
  notKept(error) {
    if (!(error instanceof DOMException)) throw error
    this.page.notices.show(word("notKept"), { detail: error.message, fault: true })
  }

  async relist({ tell = false } = {}) {
    this.list = await store.listConversations()
    this.page.listed()
    if (tell) this.elsewhere.postMessage("changed")
  }

  begin() {
    this.show(new Tree(newConversation(this.page.settings.get("system"))))
  }

  async open(conversation) {
    const run = this.runs.get(conversation.id)
    this.show(run?.tree ?? new Tree(conversation, await store.turnsOf(conversation.id)))
  }

  show(tree) {
    this.tree = tree
    this.page.transcript.show(tree, { fresh: true })
    this.page.shown()
  }

  redraw() {
    this.page.transcript.show(this.tree)
    this.page.shown()
  }

  async save(tree, ...turns) {
    if (!tree.turns.size) return
    const { conversation } = tree
    const first = tree.listed("")[0]
    if (!conversation.named) conversation.title = titleOf(first.content)
    try {
      await store.saveConversation(conversation)
      await store.saveTurns(...turns.map(({ writing, ...kept }) => kept))
      await this.relist({ tell: true })
    } catch (error) {
      this.notKept(error)
    }
  }

  /** Sends a message after the last turn that is shown, or in place of one that was edited. */
  async send(text, replaced = null) {
    if (this.run) return
    const { tree } = this
    const parent = replaced ? replaced.parent : (tree.path().at(-1)?.id ?? "")
    const turn = tree.add(parent, "user", text)
    await this.save(tree, turn)
    await this.respond(tree, turn)
  }

  again(turn) {
    if (!this.run) this.respond(this.tree, this.tree.turns.get(turn.parent))
  }

  choose(turn) {
    if (this.run) return
    this.tree.choose(turn)
    this.redraw()
    this.save(this.tree)
  }

  stop() {
    this.page.notices.giveUp?.()
    this.run?.answering.stop()
  }

  /** Begins a branch in which the answer takes another token, and goes on behind it. */
  continueWith(view, index, rank) {
    if (this.run) return
    const { tree } = this,
      { turn } = view
    const { log, text } = view.log.branched(index, rank)
    const branch = tree.add(turn.parent, "assistant", turn.content.slice(0, view.log.starts[index]) + text)
    branch.model = turn.model
    setLog(branch, log)
    this.goOn(branch)
  }

  /** Lets an answer that stopped at a limit go on. */
  async goOn(turn) {
    if (this.run) return
    const { tree } = this
    turn.finish = undefined
    await this.attempt(tree, turn, () => this.goOn(turn))
  }

  /** Whether an answer can go on behind any of its tokens: as a text always, in a chat by the tokens' numbers. */
  canGoOn(turn) {
    return !this.page.converses(turn.model) || logOf(turn).continuable
  }

  asked(tree, turn) {
    const settings = { model: turn.model, ...samplingOf(this.page.settings.get("sampling")) }
    if (!this.page.converses(turn.model)) return { ...settings, prompt: tree.text(turn) }
    return { ...settings, messages: tree.messages(turn), answerBegins: [...logOf(turn).ids] }
  }

  /** Has the model answer a turn; waits and tries again where the server is full and the reader agrees. */
  async respond(tree, question) {
    const turn = tree.add(question.id, "assistant", "")
    turn.model = this.page.model
    await this.attempt(tree, turn, () => this.respond(tree, question))
  }

  async attempt(tree, turn, retry) {
    const { page } = this,
      { id } = tree.conversation
    const answering = new Answering(page.api, turn, () => this.changed(tree, turn))
    this.runs.set(id, { tree, answering })
    page.notices.clear()
    if (tree === this.tree) page.transcript.toEnd()
    turn.writing = true
    this.update(tree)
    page.notices.say(word("writing"))
    let fault = null
    try {
      await answering.run(this.asked(tree, turn))
    } catch (error) {
      if (!(error instanceof ServerError)) throw error
      fault = error
    } finally {
      this.runs.delete(id)
      turn.writing = false
      if (!turn.content && turn.finish !== "stop") tree.drop(turn)
      page.live.follow(null, answering)
      this.update(tree)
      await this.save(tree, ...(tree.turns.has(turn.id) ? [turn] : []))
    }
    if (fault) await page.fault(fault, retry)
    else page.notices.say(turn.finish === "stopped" ? word("stopped") : word("finished", turn.stats.tokens))
  }

  update(tree) {
    if (tree === this.tree) this.redraw()
    this.page.writing(Boolean(this.run))
  }

  changed(tree, turn) {
    if (tree === this.tree) {
      this.page.transcript.view(turn)?.grow()
      this.page.live.follow(this.run?.answering)
    }
    const now = Date.now()
    if (!turn.content || now - (this.saved ?? 0) < SAVED_EVERY) return
    this.saved = now
    const { writing, ...kept } = turn
    store.saveTurns(kept).catch((error) => this.notKept(error))
  }

  async rename(conversation, title) {
    if (title) {
      const known = conversation.id === this.conversation.id ? this.conversation : conversation
      Object.assign(known, { title, named: true })
      await store.saveConversation(known)
    }
    await this.relist({ tell: true })
  }

  async remove(conversation) {
    this.runs.get(conversation.id)?.answering.stop()
    const removed = await store.removeConversation(conversation)
    if (conversation.id === this.conversation.id) this.begin()
    await this.relist({ tell: true })
    const undo = async () => {
      await store.putBack(removed)
      await this.relist({ tell: true })
    }
    this.page.notices.show(word("removed", conversation.title), { actions: [[word("undo"), undo]] })
  }

  async exported(conversations) {
    const pairs = []
    for (const conversation of conversations) {
      pairs.push({ conversation, turns: await store.turnsOf(conversation.id) })
    }
    return writeExport(pairs)
  }

  /** Takes conversations from a file's text, beside those that are here; returns how many. */
  async import(text) {
    const found = readExport(text)
    for (const pair of found) await store.putBack(pair)
    await this.relist({ tell: true })
    return found.length
  }
}

function titleOf(text) {
  const line = text.trim().split("\n")[0]
  const characters = [...line]
  return characters.length > 60 ? `${characters.slice(0, 59).join("")}…` : line
}
