// Every word that the page says, in English and in Japanese.

const english = {
  skip: "Skip to the message field", sidebar: "Sidebar",
  conversations: "Conversations", conversation: "Conversation", newConversation: "New conversation",
  untitled: "New conversation", exportAll: "Export all", import: "Import", export: "Export",
  rename: "Rename", remove: "Delete", more: (title) => `More for “${title}”`, newTitle: "New title",
  removed: (title) => `“${title}” deleted.`, undo: "Undo", imported: (n) => `${n === 1 ? "1 conversation" : `${n} conversations`} imported.`,
  importNotJson: "That file isn't JSON.", importNotOurs: "That file isn't an export of this page.",
  model: "Model", close: "Close", instruments: "Instruments", settings: "Settings", attention: "Attention",
  probability: "Probability", sure: "expected", surprised: "a surprise", legendHint: "Click any token, or move with the arrow keys and press Enter.", legendTouch: "Tap any token.",
  theme: { system: "Theme: as the system", light: "Theme: light", dark: "Theme: dark" },
  otherLanguage: "日本語", shortcuts: "Keyboard shortcuts",
  emptyTitle: "A drop of language.",
  emptyText: "Ask something. Then click any word of the answer to see how sure the model was, and what it might have said instead.",
  ideas: ["Write a short letter about the first rain of summer.", "Explain how a rainbow is made, in three steps.", "Write a Python function that finds the longest word in a text."],
  latest: "Latest", question: "Your message", questionHint: "Write a message", send: "Send", stop: "Stop",
  you: "You", taskDone: "done", taskOpen: "to do", code: "code", copyCode: "Copy code", copied: "Copied", copy: "Copy", copyFailed: "The browser didn't allow copying.",
  edit: "Edit", again: "Regenerate", earlier: "Previous version", later: "Next version", version: (n, of) => `Version ${n} of ${of}`,
  sendEdited: "Send", cancel: "Cancel", editing: "Edit your message",
  writing: "The model is writing.", finished: (n) => `The answer is complete: ${n} tokens.`, stopped: "Stopped.",
  stats: { tokens: (n) => `${n} tokens`, speed: (n) => `${n} tokens/s`, first: (n) => `first token after ${n} s` },
  live: "Live", tokens: "tokens", context: "context", speed: "tokens/s", first: "first token", memory: "memory", running: "running", waiting: "waiting",
  ended: { length: "It stopped at the limit of tokens.", cancelled: "Stopped.", stopped: "Stopped." }, goOn: "Continue",
  errors: {
    gone: "The server isn't answering. Is “shizuku serve” still running?",
    key: "The server asks for an API key.", keyWrong: "The server didn't accept this API key.",
    busy: "The server is full.", full: "This conversation no longer fits the model's context window.",
    broken: "The connection broke off. What had arrived is kept.", refused: "The server refused the request:",
  },
  retryIn: (n) => `Trying again in ${n} s.`, retry: "Try again", back: "The server is back.", giveUp: "Don't wait",
  fullHelp: "Edit an earlier message to branch off there, lower the token limit, or start anew.",
  apiKey: "API key", remember: "Keep it in this browser", useKey: "Use this key",
  system: "System prompt", systemHint: "For example: Answer briefly and plainly.", systemHelp: "Said to the model before this conversation.",
  sampling: "Sampling", unset: { other: "model's default", max_tokens: "no limit", seed: "random" }, defaults: "Back to the defaults",
  names: { temperature: "Temperature", top_p: "Top-p", top_k: "Top-k", min_p: "Min-p", max_tokens: "Most tokens", seed: "Seed", repetition_penalty: "Repetition penalty" },
  helps: {
    temperature: "0 always takes the likeliest token; higher is freer.", top_p: "Only the likeliest tokens that together reach this probability.",
    top_k: "Only this many of the likeliest tokens.", min_p: "Only tokens at least this fraction as likely as the likeliest.",
    max_tokens: "The answer ends here at the latest.", seed: "The same seed gives the same answer again.",
    repetition_penalty: "Above 1, what was already said becomes less likely.",
  },
  privacy: "Conversations stay in this browser. Messages go to this server only.",
  token: "Token", tokenOf: (n, of) => `Token ${n} of ${of}`, rank: (n) => `rank ${n}`, notTop: (n) => `not among the best ${n}`,
  surprise: (bits) => `${bits} bits of surprise`, alternatives: "What else was likely", chosen: "chosen",
  continueWith: (text) => `Continue from here with “${text}”`, previousToken: "Previous token", nextToken: "Next token",
  noLogprobs: "This answer came without probabilities.", others: "all others", tokenList: "Tokens of the answer",
  atToken: (text, percent) => `“${text}”, ${percent}`, modelsOwn: "The model's own probability, before temperature and cuts.",
  layer: "Layer", head: "Head", attentionLead: "Which earlier tokens the model reads while it reads each token.",
  attentionEmpty: "Say something first: then you can look at what the model reads.", attentionLoading: "Computing …",
  attentionFrom: (text) => `From “${text}”`, attentionSum: (sum) => `Its row sums to ${sum}.`, attentionMap: "Attention: each row is a token, each column an earlier one",
  attentionText: "Choose a token: the darker another, the more it reads it.", attentionTop: "It reads most", refresh: "Compute anew",
  attentionCut: (n) => `Of this long conversation, the last ${n} tokens are read here.`,
  attentionStale: "The conversation has gone on since.", attentionAt: (from, to, percent) => `“${from}” reads “${to}”: ${percent}`,
  shortcutList: [
    ["Enter", "Send"], ["Shift Enter", "New line"], ["Escape", "Stop the answer, or close what is open"], ["↑", "Edit the last message (in the empty field)"],
    ["Alt N", "New conversation"], ["Alt C", "To the conversations"], ["Alt R", "Regenerate the last answer"], ["Alt P", "Probability of each token"], ["Alt A", "Attention"],
    ["Alt S", "Settings"], ["Alt Q", "To the message field"], ["← →", "Token by token, layer by layer, head by head"], ["Enter", "On a token: its alternatives"], ["Alt K", "This list"],
  ],
}

const japanese = {
  skip: "入力欄へ移動", sidebar: "サイドバー",
  conversations: "会話一覧", conversation: "会話", newConversation: "新しい会話",
  untitled: "新しい会話", exportAll: "すべて書き出す", import: "読み込む", export: "書き出す",
  rename: "名前を変更", remove: "削除", more: (title) => `「${title}」の操作`, newTitle: "新しい名前",
  removed: (title) => `「${title}」を削除しました。`, undo: "元に戻す", imported: (n) => `${n}件の会話を読み込みました。`,
  importNotJson: "このファイルは JSON ではありません。", importNotOurs: "このファイルは、このページから書き出したものではありません。",
  model: "モデル", close: "閉じる", instruments: "パネル", settings: "設定", attention: "アテンション",
  probability: "確率", sure: "予想どおり", surprised: "意外", legendHint: "トークンをクリックするか、矢印キーで選んで Enter を押してください。", legendTouch: "トークンをタップしてください。",
  theme: { system: "配色：システムに合わせる", light: "配色：ライト", dark: "配色：ダーク" },
  otherLanguage: "English", shortcuts: "キーボード操作",
  emptyTitle: "言葉のひとしずく。",
  emptyText: "話しかけてみてください。返ってきた文のどこかをクリックすると、モデルがどれくらい確信していたか、ほかにどんな言葉があり得たかを見られます。",
  ideas: ["夏の最初の雨について、短い手紙を書いてください。", "虹ができるしくみを、三つの段階で説明してください。", "文章からいちばん長い単語を見つける Python の関数を書いてください。"],
  latest: "最新へ", question: "メッセージ", questionHint: "メッセージを入力", send: "送信", stop: "停止",
  you: "あなた", taskDone: "済み", taskOpen: "未完了", code: "コード", copyCode: "コードをコピー", copied: "コピーしました", copy: "コピー", copyFailed: "ブラウザーがコピーを許可しませんでした。",
  edit: "編集", again: "もう一度生成", earlier: "前の版", later: "次の版", version: (n, of) => `${of}件中${n}件目の版`,
  sendEdited: "送信", cancel: "キャンセル", editing: "メッセージを編集",
  writing: "モデルが書いています。", finished: (n) => `回答が終わりました。${n} トークンです。`, stopped: "停止しました。",
  stats: { tokens: (n) => `${n} トークン`, speed: (n) => `毎秒 ${n} トークン`, first: (n) => `最初のトークンまで ${n} 秒` },
  live: "現在の状況", tokens: "トークン", context: "コンテキスト", speed: "トークン/秒", first: "最初のトークン", memory: "メモリ", running: "生成中", waiting: "待機中",
  ended: { length: "トークン数の上限に達しました。", cancelled: "停止しました。", stopped: "停止しました。" }, goOn: "続ける",
  errors: {
    gone: "サーバーから応答がありません。shizuku serve は動いていますか？",
    key: "このサーバーには API キーが必要です。", keyWrong: "この API キーは受け付けられませんでした。",
    busy: "サーバーが混み合っています。", full: "会話が長くなり、モデルが一度に読める範囲を超えました。",
    broken: "通信が途中で切れました。届いたところまでは残してあります。", refused: "サーバーが要求を受け付けませんでした：",
  },
  retryIn: (n) => `${n} 秒後にもう一度試します。`, retry: "もう一度試す", back: "サーバーにつながりました。", giveUp: "待たない",
  fullHelp: "前のメッセージを編集してそこから分岐するか、トークン数の上限を下げるか、新しい会話を始めてください。",
  apiKey: "API キー", remember: "このブラウザーに保存する", useKey: "このキーを使う",
  system: "システムプロンプト", systemHint: "例：簡潔に、やさしい言葉で答えてください。", systemHelp: "この会話の前に、モデルに伝えておくことです。",
  sampling: "サンプリング", unset: { other: "モデルの既定値", max_tokens: "制限なし", seed: "毎回変わる" }, defaults: "既定値に戻す",
  names: { temperature: "温度", top_p: "Top-p", top_k: "Top-k", min_p: "Min-p", max_tokens: "最大トークン数", seed: "シード", repetition_penalty: "繰り返しの抑制" },
  helps: {
    temperature: "0 ではいつも最も確率の高いトークンを選び、大きいほど自由になります。", top_p: "確率の高い順に、合計がこの値に達するまでのトークンだけから選びます。",
    top_k: "確率の高い順に、この個数のトークンだけから選びます。", min_p: "最も確率の高いトークンに対して、この割合以上のものだけから選びます。",
    max_tokens: "回答は長くてもここで終わります。", seed: "同じシードなら同じ回答になります。",
    repetition_penalty: "1 より大きいと、すでに出た言葉が出にくくなります。",
  },
  privacy: "会話はこのブラウザーにだけ保存されます。メッセージの送り先はこのサーバーだけです。",
  token: "トークン", tokenOf: (n, of) => `${of} トークン中 ${n} 番目`, rank: (n) => `${n} 位`, notTop: (n) => `上位 ${n} 位の外`,
  surprise: (bits) => `意外さ ${bits} ビット`, alternatives: "ほかの候補", chosen: "選ばれたもの",
  continueWith: (text) => `ここを「${text}」に替えて続きを生成`, previousToken: "前のトークン", nextToken: "次のトークン",
  noLogprobs: "この回答には確率の記録がありません。", others: "そのほかすべて", tokenList: "回答のトークン",
  atToken: (text, percent) => `「${text}」${percent}`, modelsOwn: "温度や絞り込みを適用する前の、モデル自身の確率です。",
  layer: "層", head: "ヘッド", attentionLead: "モデルが各トークンを読むとき、前にあるどのトークンに注目しているかを示します。",
  attentionEmpty: "まず何か話しかけてください。モデルがどこに注目しているかを、ここで確かめられます。", attentionLoading: "計算しています…",
  attentionFrom: (text) => `「${text}」から`, attentionSum: (sum) => `この行の合計は ${sum} です。`, attentionMap: "アテンションの重み：行が各トークン、列がその前にあるトークン",
  attentionText: "トークンを選ぶと、強く注目している相手ほど濃く表示されます。", attentionTop: "特に注目している相手", refresh: "計算し直す",
  attentionCut: (n) => `会話が長いため、最後の ${n} トークンだけを読ませています。`,
  attentionStale: "このあとに会話が進んでいます。", attentionAt: (from, to, percent) => `「${from}」から「${to}」への注目：${percent}`,
  shortcutList: [
    ["Enter", "送信"], ["Shift Enter", "改行"], ["Escape", "生成を止める、開いているものを閉じる"], ["↑", "直前のメッセージを編集（入力欄が空のとき）"],
    ["Alt N", "新しい会話"], ["Alt C", "会話一覧へ"], ["Alt R", "最後の回答をもう一度生成"], ["Alt P", "各トークンの確率"], ["Alt A", "アテンション"],
    ["Alt S", "設定"], ["Alt Q", "入力欄へ"], ["← →", "トークン、層、ヘッドをひとつずつ移動"], ["Enter", "トークンの上で：ほかの候補"], ["Alt K", "この一覧"],
  ],
}

export const languages = { en: english, ja: japanese }
let current = "en"

export const language = () => current

/** The language to begin with: the one chosen before, else the browser's. */
export function preferredLanguage(chosen) {
  if (chosen in languages) return chosen
  return navigator.languages.find((code) => /^(ja|en)\b/i.test(code))?.slice(0, 2).toLowerCase() ?? "en"
}

/** A word or sentence by its key (`errors.gone`); further arguments fill it in. */
export function word(key, ...values) {
  let found = languages[current]
  for (const part of key.split(".")) found = found[part]
  return typeof found === "function" ? found(...values) : found
}

/** Says everything in this language: elements name their words in data-word, data-label and data-hint. */
export function speak(code, root = document) {
  current = code
  document.documentElement.lang = code
  for (const node of root.querySelectorAll("[data-word]")) node.textContent = word(node.dataset.word)
  for (const node of root.querySelectorAll("[data-hint]")) node.placeholder = word(node.dataset.hint)
  for (const node of root.querySelectorAll("[data-label]")) {
    const label = word(node.dataset.label)
    node.setAttribute("aria-label", label)
    if (node.tagName === "BUTTON") node.title = label
  }
}

/** A rate as it is read: a decimal where it is small. */
export const rate = (value) => (value < 100 ? value.toFixed(1) : Math.round(value).toLocaleString(current))

export const percent = (probability) =>
  probability > 0 && probability < 0.001 ? "< 0.1 %" : `${(probability * 100).toFixed(1)} %`
