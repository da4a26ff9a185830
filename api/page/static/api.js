// Talks to the service: signs in, keeps the tokens of all tabs fresh, and reads event streams that can be taken up again.

const KEY = "goals.session";
const stored = () => JSON.parse(localStorage.getItem(KEY) ?? "null");
let session = stored();
let refreshing = null;

/** A refused request; `problem` is the body as the service sent it. */
export class Refused extends Error {
  constructor(status, problem) {
    super(problem?.detail ?? `The service answered ${status}.`);
    this.status = status;
    this.problem = problem;
  }
}

export const signedIn = () => session !== null;
export const token = () => session?.access_token;
export const me = () => JSON.parse(atob(session.access_token.split(".")[1].replace(/-/g, "+").replace(/_/g, "/"))).sub;

function keep(pair) {
  session = pair;
  if (pair) localStorage.setItem(KEY, JSON.stringify(pair));
  else localStorage.removeItem(KEY);
}

addEventListener("storage", ({ key }) => {
  if (key !== KEY) return;
  const before = session && me();
  session = stored();
  if (before !== (session && me())) dispatchEvent(new Event(session ? "goals:signed-in" : "goals:signed-out"));
});

/** Trade the one-time token of a sign-in link for a session. */
export const signInByLink = async (link) => keep(await bare("/auth/sign-in", { token: link }));

/** Sign in with email address and password. */
export async function signIn(username, password) {
  const answer = await fetch("/auth/token", { method: "POST", body: new URLSearchParams({ username, password, grant_type: "password" }) });
  keep(await read(answer));
}

/** Open an account, and sign in with it. */
export async function signUp(name, email, password) {
  await bare("/users", { name, email, password, locale: navigator.language });
  await signIn(email, password);
}

export async function signOut() {
  const last = session;
  keep(null);
  if (last?.refresh_token) await fetch("/auth/revoke", { method: "POST", body: new URLSearchParams({ token: last.refresh_token }) });
}

async function bare(path, body) {
  return read(await fetch(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) }));
}

async function read(answer) {
  const text = await answer.text();
  const body = text ? JSON.parse(text) : null;
  if (!answer.ok) throw new Refused(answer.status, body);
  return body;
}

/** Make sure the access token lives; callers and tabs share one refresh, for each refresh token works once. */
export async function refresh() {
  const lock = navigator.locks ? (work) => navigator.locks.request(KEY, work) : (work) => work();
  refreshing ??= lock(renew).finally(() => (refreshing = null));
  return refreshing;
}

async function renew() {
  const latest = stored();
  if (latest && latest.refresh_token !== session?.refresh_token) return void (session = latest);
  try {
    keep(await bare("/auth/refresh", { refresh_token: session?.refresh_token ?? "" }));
  } catch (error) {
    if (error.status === 401) keep(null), dispatchEvent(new Event("goals:signed-out"));
    throw error;
  }
}

/** Send a request with the session's token; refreshes once when the token has run out. */
export async function send(method, path, body, { headers = {}, signal } = {}) {
  for (let attempt = 0; ; attempt++) {
    const answer = await fetch(path, {
      method,
      signal,
      headers: { Authorization: `Bearer ${token()}`, ...(body === undefined ? {} : { "Content-Type": "application/json" }), ...headers },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    if (answer.status === 401 && attempt === 0 && session?.refresh_token) {
      await refresh();
      continue;
    }
    return answer;
  }
}

/** Send a request and return its JSON. Throws `Refused`. */
export const call = async (method, path, body, options) => read(await send(method, path, body, options));

/** Yield `{event, data, id}` of a server-sent event stream until it closes. */
export async function* events(answer) {
  if (!answer.ok) await read(answer);
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let buffer = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    buffer += value.replace(/\r/g, "");
    let end;
    while ((end = buffer.indexOf("\n\n")) >= 0) {
      const frame = { event: "message", data: "", id: null };
      for (const line of buffer.slice(0, end).split("\n")) {
        if (line.startsWith("event:")) frame.event = line.slice(6).trim();
        else if (line.startsWith("data:")) frame.data += line.slice(5).trim();
        else if (line.startsWith("id:")) frame.id = line.slice(3).trim();
      }
      buffer = buffer.slice(end + 2);
      if (frame.data || frame.event === "end") yield { ...frame, data: frame.data ? JSON.parse(frame.data) : null };
    }
  }
}

const pause = (milliseconds) => new Promise((resume) => setTimeout(resume, milliseconds));

/** Follow a run to its end, whatever the network does: begin it, then rejoin from the last frame seen. */
export async function* run(start, resumeFrom = null) {
  let { place, last } = resumeFrom ?? { place: null, last: null };
  for (let failures = 0; failures < 8; ) {
    try {
      const answer = place === null
        ? await start()
        : await send("GET", place, undefined, { headers: { "Last-Event-ID": last ?? "-1" } });
      if (answer.status >= 500) throw new TypeError("the service is away");
      const named = answer.headers.get("Location");
      if (named) place = new URL(named, location.origin).pathname;
      for await (const frame of events(answer)) {
        failures = 0;
        if (frame.id) last = frame.id;
        if (frame.event === "end") return;
        yield { ...frame, place, last };
      }
      if (place === null) return;
      const status = await call("GET", place.replace(/\/stream$/, "")).then((found) => found.status);
      if (!["pending", "running"].includes(status)) return;
    } catch (error) {
      if (!(error instanceof TypeError) || place === null) throw error;
      failures += 1;
      yield { event: "reconnecting", data: failures, place, last };
      await pause(Math.min(8000, 400 * 2 ** failures));
    }
  }
  throw new Error("The service cannot be reached. The run goes on there; reload to take it up again.");
}
