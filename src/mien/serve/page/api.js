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

async function ask(path, options = {}) {
  const sent = token;
  const headers = sent ? { Authorization: `Bearer ${sent}` } : {};
  let answer;
  try {
    answer = await fetch(at(path), { ...options, headers, cache: "no-store", credentials: "omit" });
  } catch {
    throw new Problem(0, "unreachable", "The server does not answer. Is it still running?");
  }
  if (answer.status === 401) {
    if (sent !== token) return ask(path, options);  // another one was entered meanwhile
    throw new Problem(401, "unauthorized", tokenText());
  }
  let body = null;
  try { body = await answer.json(); } catch { /* not ours: a proxy's own page */ }
  if (!answer.ok) {
    const error = body?.error ?? {};
    throw new Problem(answer.status, error.code ?? "unknown", error.message ?? `The server answers ${answer.status}.`);
  }
  return body;
}

export const getModels = () => ask("v1/models");
export const isAlive = () => ask("healthz").then(() => true, () => false);

export async function recognize(file, choice) {
  const form = new FormData();
  form.append("images", file, file.name || "photo");
  const query = new URLSearchParams(choice);
  for (let tries = 0; ; tries += 1) {
    try {
      return (await ask(`v1/recognize?${query}`, { method: "POST", body: form })).readings[0];
    } catch (problem) {
      if (![429, 503].includes(problem.status) || tries >= 4) throw problem;
      await new Promise((done) => setTimeout(done, 800 * (tries + 1)));  // busy: it said to come again
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
