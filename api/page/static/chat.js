// The chat: three agents that stream, show their steps, ask before they write, and are found again after a reload.
import { call, run, send } from "/page/api.js";
import { el, fill, toast } from "/page/dom.js";
import { render } from "/page/markdown.js";

const AGENTS = [
  ["goal_planning", "Plan", "What do you want to be able to do, and by when?"],
  ["code_validation", "Check", "Paste the code you want checked, or name a snapshot."],
  ["task_suggestion", "Next", "How many minutes do you have?"],
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
    const found = await call("GET", `/threads/${thread}/state`).catch(() => null);
    if (!found) return this.fresh();
    this.show(found.values?.messages ?? []);
    if (last) await this.follow(null, last);
    else this.ask(found.interrupts ?? []);
  }

  show(messages) {
    fill(this.log, messages.filter((message) => ["human", "ai"].includes(message.type) && textOf(message)).map((message) =>
      message.type === "human" ? el("div.msg.human", textOf(message)) : el("div.msg.ai", el("div.body", render(textOf(message))))));
    this.end();
  }

  end() {
    this.log.scrollTop = this.log.scrollHeight;
  }

  async submit() {
    const text = this.input.value.trim();
    if (!text || this.running) return;
    this.input.value = "";
    this.log.querySelector(".empty")?.remove();
    this.log.append(el("div.msg.human", text));
    this.end();
    await this.go({ input: { messages: [{ role: "user", content: text }] } }).catch((error) => toast(error.message));
  }

  async go(what) {
    let { thread, agent } = kept();
    if (!thread) keep({ thread: (thread = (await call("POST", "/threads", { metadata: { graph_id: agent } })).thread_id) });
    const body = { assistant_id: agent, stream_mode: MODES, stream_resumable: true, on_disconnect: "continue", multitask_strategy: "reject", ...what };
    await this.follow(() => send("POST", `/threads/${thread}/runs/stream`, body));
  }

  async follow(start, last = null) {
    const turn = new Turn(this.log);
    let interrupts = [];
    this.running = { place: last?.place };
    this.mark();
    try {
      for await (const frame of run(start, last)) {
        if (this.left) return;
        if (frame.place) (this.running.place = frame.place), keep({ run: { place: frame.place, last: null } });
        const kind = frame.event.split("|")[0];
        if (kind === "messages") turn.chunk(frame.data[0]);
        else if (kind === "custom") turn.step(frame.data);
        else if (kind === "values" && frame.event === "values") interrupts = frame.data.__interrupt__ ?? [];
        else if (kind === "error") turn.fail(frame.data.message ?? "The run failed.");
        else if (kind === "reconnecting") turn.step({ text: `Connection lost, trying again (${frame.data})` });
        this.end();
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
      if (words) this.log.append(el("div.msg.human", words));
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

  fail(text) {
    this.log.append(el("div.toast", text));
  }

  finish() {
    for (const { node } of this.texts.values()) node.classList.remove("partial");
    if (!this.steps.hidden) this.steps.firstChild.textContent = `${this.steps.children.length - 1} step${this.steps.children.length === 2 ? "" : "s"}`;
  }
}

/** A card for one interrupt in the LangChain human-in-the-loop shape; `answer` receives what to resume with. */
function approval(interrupt, answer) {
  const request = interrupt.value?.action_requests?.[0];
  if (!request) return question(interrupt.value, answer);
  const allowed = interrupt.value.review_configs?.[0]?.allowed_decisions ?? ["approve", "reject"];
  const card = el("section.plan", { "aria-label": "Waiting for your decision" });
  const decide = (decision, words) => (card.remove(), answer({ decisions: [decision] }, words));
  const actions = {
    approve: el("button.primary", { onclick: () => decide({ type: "approve" }, "Approved.") }, "Approve"),
    edit: el("button", { onclick: () => edit(card, request, (args) => decide({ type: "edit", edited_action: { name: request.name, args } }, "Approved with changes.")) }, "Edit"),
    respond: el("button", { onclick: () => words(card, "What should be different?", (text) => decide({ type: "respond", message: text }, text)) }, "Ask for changes"),
    reject: el("button.danger", { onclick: () => decide({ type: "reject", message: "Rejected on the page." }, "Rejected.") }, "Reject"),
  };
  const plan = request.args?.plan ?? request.args;
  card.append(el("h2", "Waiting for your decision"), plan?.tasks ? outline(plan) : el("div", render(request.description ?? request.name)),
    el("div.actions", allowed.map((kind) => actions[kind])));
  return card;
}

function outline(plan) {
  return el("div", el("h1", plan.title ?? plan.outcome ?? "Plan"), plan.outcome && plan.title ? el("p.muted", plan.outcome) : null,
    el("ol", plan.tasks.map((task) => el("li", el("span", task.title),
      el("span.muted", [task.kind, task.est_minutes && `${task.est_minutes} min`].filter(Boolean).join(" · ")),
      el("span.why", task.done_when?.length ? `Done when: ${[task.done_when].flat().join("; ")}` : task.why ?? "")))),
    plan.assumptions?.length ? el("p.muted", "Assumes: ", plan.assumptions.join("; ")) : null);
}

function question(value, answer) {
  const card = el("section.plan", el("h2", "A question for you"), el("p", value?.question ?? (typeof value === "string" ? value : JSON.stringify(value))));
  words(card, "Your answer", (text) => (card.remove(), answer(text, text)));
  return card;
}

function words(card, label, done) {
  card.querySelector("form")?.remove();
  const field = el("textarea", { rows: 2, "aria-label": label, placeholder: label });
  card.append(el("form", { onsubmit: (event) => (event.preventDefault(), field.value.trim() && done(field.value.trim())) },
    field, el("div.actions", el("button.primary", "Send"))));
  field.focus();
}

function edit(card, request, done) {
  card.querySelector("form")?.remove();
  const field = el("textarea.mono", { rows: 14, "aria-label": "The plan as JSON", spellcheck: "false" });
  field.value = JSON.stringify(request.args, null, 2);
  card.append(el("form", { onsubmit: (event) => {
    event.preventDefault();
    try {
      done(JSON.parse(field.value));
    } catch (error) {
      toast(`This is not JSON yet: ${error.message}`);
    }
  } }, field, el("div.actions", el("button.primary", "Approve the edited plan"))));
}
