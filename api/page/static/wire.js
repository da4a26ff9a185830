// The wire: connect, send, watch. The plain truth of the WebSocket, for those who build against it.
import { call } from "/page/api.js";
import { el, fill, toast } from "/page/dom.js";
import { connect, disconnect, listen, send, state } from "/page/live.js";

const UNKNOWN = "00000000-0000-0000-0000-000000000000";
const SAMPLES = {
  ping: { type: "ping" },
  goal_update: { type: "goal_update", goal_id: UNKNOWN, data: { progress_percentage: 50 } },
  task_update: { type: "task_update", task_id: UNKNOWN, data: { status: "completed" } },
  code_validation_request: { type: "code_validation_request", snapshot_id: UNKNOWN },
};

/** Put something of the learner's own into the samples, so that they do something when sent. */
function use(sample, field, path) {
  call("GET", `${path}?limit=1`).then(({ items }) => items[0] && (sample[field] = items[0].id)).catch(() => {});
}

/** Show the wire inside `root`. Returns what to do when leaving. */
export function open(root) {
  const log = el("div.wirelog", { role: "log", "aria-label": "Frames" });
  const field = el("textarea.mono", { rows: 5, "aria-label": "Frame to send", spellcheck: "false" });
  field.value = JSON.stringify(SAMPLES.ping, null, 2);
  const say = (kind, text) => {
    log.append(el(`div.${kind}`, `${new Date().toLocaleTimeString()}  ${typeof text === "string" ? text : JSON.stringify(text)}`));
    while (log.children.length > 400) log.firstChild.remove();
    log.scrollTop = log.scrollHeight;
  };
  use(SAMPLES.goal_update, "goal_id", "/goals");
  use(SAMPLES.task_update, "task_id", "/tasks");
  use(SAMPLES.code_validation_request, "snapshot_id", "/code-snapshots");
  const submit = () => {
    try {
      if (!send(JSON.parse(field.value))) toast("Not connected.");
    } catch (error) {
      toast(`This is not JSON yet: ${error.message}`);
    }
  };
  fill(root, el("div.page",
    el("div.bar", el("h1", "Wire"), el("span.push"), el("button", { onclick: connect }, "Connect"), el("button", { onclick: disconnect }, "Disconnect"),
      el("button", { onclick: () => fill(log) }, "Clear")),
    log,
    el("div.bar"),
    el("div.bar", Object.entries(SAMPLES).map(([name, sample]) =>
      el("button", { onclick: () => (field.value = JSON.stringify(sample, null, 2)) }, name))),
    field, el("div.bar"), el("button.primary", { onclick: submit }, "Send")));
  say("note", `connection: ${state}`);
  return listen((kind, data) => say(kind === "state" ? "note" : kind, kind === "state" ? `connection: ${data}` : data));
}
