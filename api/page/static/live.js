// The WebSocket: live events of the signed-in learner, taken up again after a break where they stopped.
import { refresh, signedIn, token } from "/page/api.js";

const listeners = new Set();
let socket = null;
let failures = 0;
let last = null;
let timer = null;
export let state = "offline";

/** Call `listener(kind, data)` for every frame: kinds are "state", "sent", "received", "error". Returns its remover. */
export function listen(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

const tell = (kind, data) => listeners.forEach((listener) => listener(kind, data));

function become(next, detail) {
  state = next;
  tell("state", detail ?? next);
}

/** Open the socket, and keep it open until `disconnect`. */
export function connect() {
  clearTimeout(timer);
  if (socket || !signedIn()) return;
  become("waiting");
  const opened = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws`);
  socket = opened;
  // The token travels in the first frame: a query string would end up in logs.
  opened.onopen = () => opened.send(JSON.stringify({ type: "auth", token: token() }));
  opened.onmessage = ({ data }) => {
    const frame = JSON.parse(data);
    if (frame.type === "welcome") {
      failures = 0;
      become("live");
      if (last !== null) send({ type: "resume", after: last });
    }
    if (frame.type === "event") last = frame.position;
    tell(frame.type === "error" ? "error" : "received", frame);
  };
  opened.onclose = async ({ code }) => {
    if (socket !== opened) return;
    socket = null;
    if (code === 4401) await refresh().catch(() => {});
    if (!signedIn()) return become("offline");
    const wait = Math.min(20000, 500 * 2 ** failures++);
    become("waiting", `reconnecting in ${Math.round(wait / 1000)} s`);
    timer = setTimeout(connect, wait);
  };
}

export function disconnect() {
  clearTimeout(timer);
  const open = socket;
  socket = null;
  open?.close(1000);
  become("offline");
}

/** Send one frame; says false when there is no connection. */
export function send(frame) {
  if (socket?.readyState !== WebSocket.OPEN) return false;
  socket.send(JSON.stringify(frame));
  tell("sent", frame);
  return true;
}
