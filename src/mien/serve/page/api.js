// Talking to the server that this page came from, and to no other.

let token = null;

// Below whatever path the page came from: a proxy or another application may have put the service there.
const at = (path) => new URL(path, document.baseURI);

// A token may come behind the '#' of the address: that part is never sent. It stays in memory and leaves the address.
export function takeTokenFromAddress() {
  const found = new URLSearchParams(location.hash.slice(1)).get("token");
  if (found) {
    token = found;
    history.replaceState(null, "", location.pathname);
  }
}

export function setToken(value) { token = value; }

export const hasToken = () => Boolean(token);

// What people are told who came without a token, or with another one than the server's.
export const tokenText = () => (token ? "The token is not right." : "This server wants a token.");

export class Problem extends Error {
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

// The answer to a request, if it is no error.
async function send(path, options = {}) {
  const sent = token;
  const headers = sent ? { Authorization: `Bearer ${sent}` } : {};
  let answer;
  try {
    answer = await fetch(at(path), { ...options, headers, cache: "no-store", credentials: "omit" });
  } catch {
    throw unreachable();
  }
  if (answer.status === 401) {
    if (sent !== token) return send(path, options);  // another one was entered meanwhile
    throw new Problem(401, "unauthorized", tokenText());
  }
  if (!answer.ok) {
    const error = (await bodyOf(answer))?.error ?? {};
    throw new Problem(answer.status, error.code ?? "unknown", error.message ?? `The server answers ${answer.status}.`);
  }
  return answer;
}

const unreachable = () => new Problem(0, "unreachable", "The server does not answer. Is it still running?");

async function bodyOf(answer) {
  try { return await answer.json(); } catch { return null; /* not ours: a proxy's own page */ }
}

const ask = async (path) => bodyOf(await send(path));

export const getModels = () => ask("v1/models");
export const isAlive = () => ask("healthz").then(() => true, () => false);

async function sendPhoto(path, file, query, signal) {
  const body = new FormData();
  body.append("images", file, file.name || "photo");
  for (let tries = 0; ; tries += 1) {
    try {
      return await send(`${path}?${new URLSearchParams(query)}`, { method: "POST", body, signal });
    } catch (problem) {
      if (![429, 503].includes(problem.status) || tries >= 4 || signal?.aborted) throw problem;
      await new Promise((done) => setTimeout(done, 800 * (tries + 1)));  // busy: it said to come again
    }
  }
}

export async function recognize(file, choice) {
  return (await bodyOf(await sendPhoto("v1/recognize", file, choice))).readings[0];
}

// What the answers to some faces of a photo rest on: `found` is given each as it comes, if `drawn` with its picture.
export async function explain(file, choice, faces, { signal, drawn, found }) {
  const query = { ...choice, faces: faces.join(), format: "jsonl", ...(drawn ? { picture: "png" } : {}) };
  const answer = await sendPhoto("v1/explain", file, query, signal);
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { done, value } = await reader.read().catch(() => { throw unreachable(); });
    if (done) return;
    const lines = (text + value).split("\n");
    text = lines.pop();
    for (const one of lines.map((line) => JSON.parse(line))) {
      if (one.error) throw new Problem(500, one.error.code, one.error.message);
      found(one);
    }
  }
}

// `choose` is asked when the connection is open: by then another choice may have been made.
export function openStream(choose) {
  const address = at("v1/stream");
  address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
  const socket = new WebSocket(address);
  socket.addEventListener("open", () => configureStream(socket, choose()));
  return socket;
}

export function configureStream(socket, choice) {
  socket.send(JSON.stringify({ type: "start", ...choice, ...(token ? { token } : {}) }));
}
