// The server: the OpenAI-compatible API, streamed, with errors sorted by what the reader can do about them.

/** What went wrong. `kind`: gone, key, busy, full, broken, refused; `wait`: seconds, `code`: the server's own word. */
export class ServerError extends Error {
  constructor(kind, message = "", { wait = null, code = null } = {}) {
    super(message)
    this.kind = kind
    this.code = code
    this.wait = wait
  }
}

export class Api {
  /** `key()` gives the API key, or an empty string. */
  constructor(key) {
    this.key = key
  }

  async fetch(path, { body = null, signal = null } = {}) {
    const headers = { Accept: body?.stream ? "text/event-stream" : "application/json" }
    if (this.key()) headers.Authorization = `Bearer ${this.key()}`
    if (body) headers["Content-Type"] = "application/json"
    const method = body ? "POST" : "GET"
    let response
    try {
      const address = new URL(path, document.baseURI)
      response = await fetch(address, {
        method,
        headers,
        signal,
        body: body && JSON.stringify(body),
        cache: "no-store",
      })
    } catch (error) {
      if (error.name === "AbortError") throw error
      throw new ServerError("gone", error.message)
    }
    if (!response.ok) throw await refusal(response)
    return response
  }

  async json(path, options) {
    return (await this.fetch(path, options)).json()
  }

  models() {
    return this.json("v1/models")
  }

  status() {
    return this.json("shizuku/status")
  }

  attention(body, signal) {
    return this.json("shizuku/attention", { body, signal })
  }

  tokenize(body, signal) {
    return this.json("tokenize", { body, signal })
  }

  /** The chunks of a streamed answer, as objects. Throws ServerError "broken" where the stream has no end. */
  chat(body, signal) {
    return this.stream("v1/chat/completions", body, signal)
  }

  /** The same for a text that is continued, its chunks in the shape of a chat's. */
  async *complete(body, signal) {
    for await (const chunk of this.stream("v1/completions", body, signal))
      yield { ...chunk, choices: chunk.choices.map(asChat) }
  }

  async *stream(path, body, signal) {
    const response = await this.fetch(path, { body: { ...body, stream: true }, signal })
    let ended = false
    try {
      for await (const data of events(response.body)) {
        if (data === "[DONE]") {
          ended = true
          break
        }
        const chunk = JSON.parse(data)
        if (chunk.error) throw said(chunk.error, Number(chunk.error.code) || 500)
        yield chunk
      }
    } catch (error) {
      if (error.name === "AbortError" || error instanceof ServerError) throw error
      throw new ServerError("broken", error.message)
    }
    if (!ended) throw new ServerError("broken")
  }
}

function asChat({ text, logprobs, finish_reason: finish }) {
  const entry = (spelling, logprob) => ({ ...spelled(spelling), logprob })
  const content = (logprobs?.tokens ?? []).map((token, at) => {
    const top = Object.entries(logprobs.top_logprobs[at] ?? {}).map(([other, value]) => entry(other, value))
    top.sort((a, b) => b.logprob - a.logprob)
    return { ...entry(token, logprobs.token_logprobs[at]), top_logprobs: top }
  })
  return { delta: { content: text }, logprobs: { content }, finish_reason: finish }
}

/** A token as completions spell it: text, or "bytes:\xe9\x9b" where it is no whole text. */
function spelled(token) {
  if (!/^bytes:(?:\\x[0-9a-f]{2})+$/.test(token))
    return { token, bytes: [...new TextEncoder().encode(token)] }
  return {
    token,
    bytes: token
      .slice(8)
      .split("\\x")
      .map((byte) => parseInt(byte, 16)),
  }
}

/** The data of server-sent events, each event's lines joined. */
export async function* events(stream) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader()
  let held = "",
    data = []
  try {
    for (;;) {
      const { value, done } = await reader.read()
      if (done) return
      held += value
      const lines = held.split(/\r\n|\n|\r(?!$)/)
      held = lines.pop()
      for (const line of lines) {
        if (line.startsWith("data:")) data.push(line.slice(5).replace(/^ /, ""))
        else if (line === "" && data.length) {
          yield data.join("\n")
          data = []
        }
      }
    }
  } finally {
    reader.cancel().catch(() => {})
  }
}

async function refusal(response) {
  const text = await response.text().catch(() => "")
  let error = {}
  try {
    const body = JSON.parse(text)
    error = body.error ?? body
  } catch {
    error = { message: text.slice(0, 300) }
  }
  return said(error, response.status, retryAfter(response))
}

function said(error, status, wait = null) {
  const message = typeof error === "string" ? error : String(error.message ?? "")
  const code = `${error.code ?? ""} ${error.type ?? ""}`
  if (status === 401 || status === 403) return new ServerError("key", message)
  if (status === 429 || status === 503) return new ServerError("busy", message, { wait })
  if (/context_length|context_window/.test(code)) return new ServerError("full", message)
  return new ServerError("refused", message || `HTTP ${status}`, { code: error.code })
}

/** Seconds that Retry-After names, as a number or as a date. */
function retryAfter(response) {
  const value = response.headers.get("Retry-After")
  if (!value) return null
  const seconds = Number(value)
  return Number.isFinite(seconds) ? seconds : Math.max(0, (Date.parse(value) - Date.now()) / 1000)
}
