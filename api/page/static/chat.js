// The chat: three agents that stream, show their steps, ask before they write, and are found again after a reload.
import { call, run, send } from "/page/api.js";
import { el, fill, toast } from "/page/dom.js";
import { render } from "/page/markdown.js";

const AGENTS = [
  ["goal_planning", "Plan", "What do you want to be able to do, and by when?"],
  ["code_validation", "Check", "Paste the code you want checked, or the id of a snapshot."],
  ["task_suggestion", "Next", "How many minutes do you have?"],
];
/** What tells languages apart well enough to name one; the learner sees the name and can send another. */
const SIGNS = [
  ["rust", /\bfn \w+|\blet mut\b|println!/], ["go", /^package \w+|\bfunc \w*\(|:= /m], ["cpp", /#include|std::/],
  ["csharp", /^using System|^namespace |Console\./m], ["java", /\bpublic (static |final )*(class|void|int)\b|System\.out/],
  ["python", /^\s*(def|class|if|for|while|with|try)\b.*:\s*(#.*)?$|^(from \w+ )?import \w+$/m],
  ["typescript", /\binterface \w+|: (string|number|boolean)\b/], ["javascript", /\b(const|let|var|function)\b|=>|console\./],
];
const MODES = ["values", "messages-tuple", "custom"];
const KEY = "goals.chat";

const kept = () => JSON.parse(localStorage.getItem(KEY) ?? "null") ?? { agent: "goal_planning", thread: null, run: null };
const keep = (change) => localStorage.setItem(KEY, JSON.stringify({ ...kept(), ...change }));

/** Show the chat inside `root`. Returns what to do when leaving; a run that goes on is taken up at the next visit. */
export function open(root) {
  const chat = new Chat(root);
  chat.restore().catch((error) => toast(error.message));
  return () => (chat.left = true);
}

/** The readable text of a message, whose content is a string or a list of blocks. */
const textOf = ({ content }) =>
  typeof content === "string" ? content : (content ?? []).map((block) => (typeof block === "string" ? block : block.text ?? "")).join("");

/** Code that was pasted as it is, between the fences the agent looks for. */
function fenced(text) {
  const named = text.includes("```") || !text.includes("\n") ? null : SIGNS.find(([, sign]) => sign.test(text));
  return named ? `\`\`\`${named[0]}\n${text}\n\`\`\`` : text;
}

const said = (text) => el("div.msg.human", text.includes("```") ? render(text) : text);

class Chat {
  constructor(root) {
    this.left = false;
    this.log = el("div.log", { "aria-live": "polite" });
    this.input = el("textarea", { rows: 1, "aria-label": "Message", onkeydown: (event) => {
      if (event.key === "Enter" && !event.shiftKey && !event.isComposing) event.preventDefault(), this.submit();
    } });
    this.button = el("button.primary", { onclick: () => (this.running ? this.stop() : this.submit()) }, "Send");
    this.agents = el("div.segmented", AGENTS.map(([id, label]) =>
      el("button", { "data-agent": id, onclick: () => this.choose(id) }, label)));
    fill(root, el("div.chat",
      el("div.bar", this.agents, el("span.push"), el("button", { onclick: () => this.fresh() }, "New thread")),
      this.log, el("div.composer", this.input, this.button)));
    this.mark();
  }

  mark() {
    const { agent } = kept();
    for (const button of this.agents.children) button.setAttribute("aria-pressed", button.dataset.agent === agent);
    this.input.placeholder = AGENTS.find(([id]) => id === agent)[2];
    this.button.textContent = this.running ? "Stop" : "Send";
    this.button.className = this.running ? "danger" : "primary";
  }

  choose(agent) {
    if (agent === kept().agent || this.running) return;
    keep({ agent, thread: null, run: null });
    fill(this.log, this.welcome());
    this.mark();
  }

  fresh() {
    keep({ thread: null, run: null });
    this.running = null;
    fill(this.log, this.welcome());
    this.mark();
  }

  welcome() {
    return el("div.empty", el("strong", "What are you working towards?"),
      "Answers stream in. Nothing is written before you approve it.");
  }

  /** Show the thread of the last visit, and take up its run if one is still going. */
  async restore() {
    const { thread, run: last } = kept();
    if (!thread) return fill(this.log, this.welcome());
    const found = await call("GET", `/threads/${thread}/state`).catch((error) => {
      if (error.status !== 404) throw error;
    });
    if (!found) return this.fresh();
    this.show(found.values?.messages ?? []);
    if (last) await this.follow(null, last);
    else this.ask(found.interrupts ?? []);
  }

  show(messages) {
    fill(this.log, messages.filter((message) => ["human", "ai"].includes(message.type) && textOf(message)).map((message) =>
      message.type === "human" ? said(textOf(message)) : el("div.msg.ai", el("div.body", render(textOf(message))))));
    this.end();
  }

  end() {
    this.log.scrollTop = this.log.scrollHeight;
  }

  async submit() {
    const typed = this.input.value.trim();
    if (!typed || this.running) return;
    const text = kept().agent === "code_validation" ? fenced(typed) : typed;
    this.input.value = "";
    this.log.querySelectorAll(".empty, .plan").forEach((node) => node.remove());
    this.log.append(said(text));
    this.end();
    await this.go({ input: { messages: [{ role: "user", content: text }] } }).catch((error) => toast(error.message));
  }

  async go(what) {
    let { thread, agent } = kept();
    if (!thread) keep({ thread: (thread = (await call("POST", "/threads", { metadata: { graph_id: agent } })).thread_id) });
    const body = { assistant_id: agent, stream_mode: MODES, stream_resumable: true, on_disconnect: "continue", multitask_strategy: "reject", ...what };
    // Without a language named, the agents answer in the one they are spoken to.
    if (navigator.language.startsWith("es")) body.context = { locale: navigator.language };
    await this.follow(() => send("POST", `/threads/${thread}/runs/stream`, body));
  }

  async follow(start, last = null) {
    const turn = new Turn(this.log);
    let interrupts = [];
    let stored = new Set();
    this.running = { place: last?.place };
    this.mark();
    try {
      for await (const frame of run(start, last)) {
        if (this.left) return;
        if (frame.place) (this.running.place = frame.place), keep({ run: { place: frame.place, last: null } });
        const kind = frame.event.split("|")[0];
        const atEnd = this.log.scrollHeight - this.log.scrollTop - this.log.clientHeight < 60;
        if (kind === "messages") turn.chunk(frame.data[0]);
        else if (kind === "custom") turn.step(frame.data);
        else if (frame.event === "values") {
          interrupts = frame.data.__interrupt__ ?? [];
          stored = new Set((frame.data.messages ?? []).map((message) => message.id));
        } else if (kind === "metadata" && frame.data?.attempt > 1) turn.again(stored);
        else if (kind === "error") turn.fail(frame.data.message ?? "The run failed.");
        else if (kind === "reconnecting") turn.step({ text: `Connection lost, trying again (${frame.data})` });
        if (atEnd) this.end();
      }
    } finally {
      this.running = null;
      if (!this.left) keep({ run: null });
      turn.finish();
      this.mark();
    }
    this.ask(interrupts);
  }

  async stop() {
    const place = this.running?.place?.replace(/\/stream$/, "");
    if (place) await call("POST", `${place}/cancel?wait=1`).catch((error) => error.status === 404 || toast(error.message));
    this.log.append(el("div.stopped", "■ Stopped. What you see was kept."));
  }

  /** Show every pending question of the agent as a card. */
  ask(interrupts) {
    for (const interrupt of interrupts) this.log.append(approval(interrupt, (answer, words) => {
      if (words) this.log.append(said(words));
      this.go({ command: { resume: { [interrupt.id]: answer } } }).catch((error) => toast(error.message));
    }));
    this.end();
  }
}

/** One answer as it arrives: text, and the steps behind it folded away. */
class Turn {
  constructor(log) {
    this.log = log;
    this.texts = new Map();
    this.steps = el("details.steps", { hidden: true }, el("summary", "Working"));
    log.append(this.steps);
  }

  chunk(message) {
    if (message.type === "tool") return this.step({ text: `${message.name ?? "tool"} answered` });
    if (!/^ai/i.test(message.type) || message.id?.startsWith("do-not-render-")) return;
    for (const call of message.tool_call_chunks ?? []) if (call.name) this.step({ text: `calls ${call.name}` });
    const text = textOf(message);
    if (!text) return;
    let entry = this.texts.get(message.id);
    if (!entry) {
      entry = { text: "", node: el("div.msg.ai.partial", el("div.body")) };
      this.texts.set(message.id, entry);
      this.log.append(entry.node);
    }
    entry.text = message.type === "AIMessageChunk" ? entry.text + text : text;
    fill(entry.node.firstChild, render(entry.text));
  }

  step(data) {
    const text = data?.text ?? data?.step;
    if (!text) return;
    this.steps.hidden = false;
    this.steps.firstChild.textContent = text;
    this.steps.append(el("div", text));
  }

  /** Another attempt took the run over: what was said and not stored before will be said again. */
  again(stored) {
    for (const [id, { node }] of this.texts) if (!stored.has(id)) node.remove(), this.texts.delete(id);
    this.step({ text: "Taken up again" });
  }

  fail(text) {
    this.log.append(el("div.toast", text));
  }

  finish() {
    for (const { node } of this.texts.values()) node.classList.remove("partial");
    if (!this.steps.hidden) this.steps.firstChild.textContent = `${this.steps.children.length - 1} step${this.steps.children.length === 2 ? "" : "s"}`;
  }
}

/** What was last approved with changes: if it is refused, the learner goes on from there. */
let edited = null;

/** A card for one interrupt in the LangChain human-in-the-loop shape; `answer` receives what to resume with. */
function approval(interrupt, answer) {
  const request = interrupt.value?.action_requests?.[0];
  if (!request) return question(interrupt.value, answer);
  const allowed = interrupt.value.review_configs?.[0]?.allowed_decisions ?? ["approve", "reject"];
  const card = el("section.plan", { "aria-label": "Waiting for your decision" });
  const decide = (decision, words) => (card.remove(), answer({ decisions: [decision] }, words));
  const changed = (args) => decide({ type: "edit", edited_action: { name: request.name, args: (edited = args) } }, "Approved with changes.");
  const edit = (args) => (args.tasks ? editPlan : editJson)(card, args, changed);
  const actions = {
    approve: el("button.primary", { onclick: () => decide({ type: "approve" }, "Approved.") }, "Approve"),
    edit: el("button", { onclick: () => edit(request.args) }, "Edit"),
    respond: el("button", { onclick: () => words(card, "What should be different?", (text) => decide({ type: "respond", message: text }, text)) },
      request.name === "state_objective" ? "Answer" : "Ask for changes"),
    reject: el("button.danger", { onclick: () => decide({ type: "reject", message: "Rejected on the page." }, "Rejected.") }, "Reject"),
  };
  card.append(el("h2", "Waiting for your decision"), request.args.tasks ? summary(request.args) : el("div", render(request.description ?? request.name)),
    interrupt.value.error ? el("p.tag.late", interrupt.value.error) : "", el("div.actions", allowed.map((kind) => actions[kind])));
  if (interrupt.value.error && edited) edit(edited);
  edited = null;
  return card;
}

/** The agent has just spoken the whole plan; the card says only what is decided about. */
function summary({ title, tasks }) {
  const minutes = tasks.reduce((sum, task) => sum + (task.est_minutes ?? 0), 0);
  return el("p", "Save ", el("strong", title), ` with ${tasks.length} tasks, ${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, "0")}?`);
}

function question(value, answer) {
  const card = el("section.plan", el("h2", "A question for you"), el("p", value?.question ?? (typeof value === "string" ? value : JSON.stringify(value))));
  words(card, "Your answer", (text) => (card.remove(), answer(text, text)));
  return card;
}

function words(card, label, done) {
  const field = el("textarea", { rows: 2, "aria-label": label, placeholder: label });
  form(card, "Send", () => field.value.trim() && done(field.value.trim()), field);
}

const KINDS = ["read", "practice", "build", "review", "assess"];

/** Titles, kinds and minutes to write over, tasks to take out; a task that waited for one taken out no longer does. */
function editPlan(card, plan, done) {
  const title = el("input", { value: plan.title, "aria-label": "Title of the goal", required: true });
  const rows = plan.tasks.map((task) => {
    const name = el("input", { value: task.title, "aria-label": "Title of the task", required: true });
    const minutes = el("input", { type: "number", value: task.est_minutes, min: 15, max: 240, "aria-label": "Minutes", required: true });
    const kind = el("select", { "aria-label": "Kind" }, KINDS.map((each) => el("option", { selected: each === task.kind }, each)));
    const row = el("div.row", name, kind, minutes, el("button", { type: "button", title: "Take this task out", "aria-label": `Take out ${task.title}`,
      onclick: () => row.remove() }, "✕"));
    return { row, read: () => ({ ...task, title: name.value, kind: kind.value, est_minutes: Number(minutes.value) }) };
  });
  form(card, "Approve the edited plan", () => {
    const kept = rows.filter(({ row }) => row.isConnected).map(({ read }) => read());
    const keys = new Set(kept.map((task) => task.key));
    done({ ...plan, title: title.value, tasks: kept.map((task) => ({ ...task, depends_on: task.depends_on.filter((key) => keys.has(key)) })) });
  }, title, rows.map(({ row }) => row));
}

function editJson(card, args, done) {
  const field = el("textarea.mono", { rows: 8, "aria-label": "What will be done, as JSON", spellcheck: "false" });
  field.value = JSON.stringify(args, null, 2);
  form(card, "Approve with changes", () => {
    try {
      done(JSON.parse(field.value));
    } catch (error) {
      toast(`This is not JSON yet: ${error.message}`);
    }
  }, field);
}

/** Put one form at the end of a card, in the place of any other, and lead there. */
function form(card, label, submit, ...fields) {
  card.querySelector("form")?.remove();
  const made = el("form", { onsubmit: (event) => (event.preventDefault(), submit()) }, fields, el("div.actions", el("button.primary", label)));
  card.append(made);
  requestAnimationFrame(() => (made.querySelector("input, textarea").focus(), made.scrollIntoView({ block: "nearest" })));
}
