// Conversations in this browser (IndexedDB), settings in localStorage. Nothing leaves the machine from here.

const VERSION = 1
let opened = null

function database() {
  opened ??= new Promise((resolve, reject) => {
    const request = indexedDB.open("shizuku", VERSION)
    request.onupgradeneeded = () => {
      request.result.createObjectStore("conversations", { keyPath: "id" })
      request.result.createObjectStore("turns", { keyPath: "id" }).createIndex("conversation", "conversation")
    }
    request.onsuccess = () => resolve(request.result)
    request.onerror = () => reject(request.error)
  })
  return opened
}

async function transact(stores, mode, work) {
  const transaction = (await database()).transaction(stores, mode)
  const result = work((name) => transaction.objectStore(name))
  await new Promise((resolve, reject) => {
    transaction.oncomplete = resolve
    transaction.onerror = transaction.onabort = () => reject(transaction.error)
  })
  return result?.result
}

/** All conversations without their turns, the latest first. */
export async function listConversations() {
  const found = await transact(["conversations"], "readonly", (store) => store("conversations").getAll())
  return found.sort((a, b) => b.updated - a.updated)
}

export function turnsOf(id) {
  const work = (store) => store("turns").index("conversation").getAll(id)
  return transact(["turns"], "readonly", work)
}

export function saveConversation(conversation) {
  return transact(["conversations"], "readwrite", (store) => store("conversations").put(conversation))
}

export function saveTurns(...turns) {
  return transact(["turns"], "readwrite", (store) => {
    for (const turn of turns) store("turns").put(turn)
  })
}

/** Removes a conversation; returns it with its turns, so that it can be put back. */
export async function removeConversation(conversation) {
  const turns = await turnsOf(conversation.id)
  await transact(["conversations", "turns"], "readwrite", (store) => {
    store("conversations").delete(conversation.id)
    for (const turn of turns) store("turns").delete(turn.id)
  })
  return { conversation, turns }
}

export async function putBack({ conversation, turns }) {
  await saveTurns(...turns)
  await saveConversation(conversation)
}

/** Settings that outlive the page; a broken or forbidden localStorage gives the defaults. */
export class Settings {
  constructor(name, defaults) {
    this.name = name
    this.values = { ...defaults }
    try {
      Object.assign(this.values, JSON.parse(localStorage.getItem(name) ?? "{}"))
    } catch (error) {
      console.info("settings are not kept:", error.message)
    }
  }

  get(key) {
    return this.values[key]
  }

  set(key, value) {
    this.values[key] = value
    try {
      localStorage.setItem(this.name, JSON.stringify(this.values))
    } catch (error) {
      console.info("settings are not kept:", error.message)
    }
  }
}
