// `@goals` in the chat: each command is one of the service's agents, and each answer streams from a run that outlives the window.
import * as vscode from "vscode";
import { SignedOut, type Client } from "./client.ts";
import { explain } from "./failure.ts";
import { approvalOf, textOf, type ApprovalRequest, type Button, type Decision, type Interrupt, type Message, type Place, type Verdict } from "./protocol.ts";
import type { Frame } from "./sse.ts";

const AGENTS: Record<string, string> = { plan: "goal_planning", validate: "code_validation", next: "task_suggestion" };
const KEPT = "aiGoals.place";
const PENDING = "aiGoals.pending";

interface Pending {
  place: Place;
  interrupt: Interrupt;
}

/** Hands in the open file. */
export interface Desk {
  handIn(): Promise<{ snapshot: string; mark: () => Promise<void> }>;
}

export class Goals {
  /** What a button or a light bulb stands for, until the chat request with its words arrives; no other words may take it up. */
  private sent: { words: string; decision?: Decision; wish?: { snapshot_id: string; finding: string; hint_level: number } } | null = null;

  constructor(private readonly client: Client, private readonly memory: vscode.Memento, private readonly desk: Desk) {}

  readonly handle: vscode.ChatRequestHandler = async (request, context, stream, token) => {
    const stop = new AbortController();
    const cancelled = token.onCancellationRequested(() => stop.abort());
    try {
      return { metadata: { place: await this.answer(request, context, stream, token, stop.signal) } };
    } catch (error) {
      if (error instanceof vscode.CancellationError) return {};
      if (!(error instanceof SignedOut)) return { errorDetails: { message: explain(error) } };
      stream.markdown(explain(error));
      stream.button({ command: "aiGoals.signIn", title: vscode.l10n.t("Sign In") });
      return {};
    } finally {
      cancelled.dispose();
    }
  };

  /** True while an answer of the last window was never seen to its end. */
  get unfinished(): boolean {
    return this.memory.get<Place | null>(KEPT, null) !== null;
  }

  private async answer(
    request: vscode.ChatRequest, context: vscode.ChatContext, stream: vscode.ChatResponseStream, token: vscode.CancellationToken, signal: AbortSignal,
  ): Promise<Place | null> {
    const { decision = null, wish } = (this.sent?.words === request.prompt.trim() && this.sent) || {};
    this.sent = null;
    if (request.command === "resume") return this.resume(stream, token, signal);
    const previous = lastPlace(context);
    const pending = this.memory.get<Pending | null>(PENDING, null);
    // In a new chat, as after a reload, only the word itself decides.
    const meant = decision || (previous ? pending?.place.thread === previous.thread : wordOf(request.prompt));
    if (pending && !request.command && meant) {
      const { place, interrupt } = pending;
      const command = { resume: { [interrupt.id]: answerTo(interrupt, decision, request.prompt) } };
      await this.memory.update(PENDING, null);
      try {
        await this.show(place, this.client.start(place, { command }, signal), stream, token);
      } catch (error) {
        if (place.path === null) await this.memory.update(PENDING, pending); // never arrived, so it still waits
        throw error;
      }
      await vscode.commands.executeCommand("setContext", "aiGoals.planned", true);
      return place;
    }
    const agent = AGENTS[request.command ?? ""] ?? previous?.agent ?? "goal_planning";
    const handed = request.command === "validate" && !wish ? await this.desk.handIn() : null;
    const place = previous?.agent === agent ? previous : await this.client.thread(agent);
    const text = handed ? `${request.prompt}\nsnapshot_id: ${handed.snapshot}`.trim() : request.prompt;
    const frames = this.client.start(place, { input: wish ?? { messages: [{ role: "user", content: text }] } }, signal);
    if (wish) await hinted(frames, stream);
    else await this.show(place, frames, stream, token);
    await handed?.mark();
    return place;
  }

  private async resume(stream: vscode.ChatResponseStream, token: vscode.CancellationToken, signal: AbortSignal): Promise<Place | null> {
    const place = this.memory.get<Place | null>(KEPT, null);
    if (!place) {
      stream.markdown(vscode.l10n.t("There is nothing to take up again."));
      return null;
    }
    place.last = null; // the chat is empty after a reload, so the whole answer is shown again
    await this.show(place, this.client.rejoin(place, signal), stream, token);
    return place;
  }

  /** Answer a pending question of an agent by a button below its plan; what the agent makes of it streams into the chat. */
  async decide(button: Button): Promise<void> {
    const pending = this.memory.get<Pending | null>(PENDING, null);
    const action = pending && approvalOf(pending.interrupt.value)?.action_requests[0];
    if (!action) {
      void vscode.window.showInformationMessage(vscode.l10n.t("This was decided already."));
      return;
    }
    const args = button === "edit" ? await edited(action.args) : null;
    if (button === "edit" && !args) return;
    const words = titles()[button === "edit" ? "approve" : button];
    this.sent = { words, decision: args ? { type: "edit", edited_action: { name: action.name, args } } : { type: button as "approve" | "reject" } };
    await say(words);
  }

  /** Ask for the next hint about one finding of a checked file. */
  async hint(snapshot: string, finding: string, title: string): Promise<void> {
    this.sent = { words: title, wish: { snapshot_id: snapshot, finding, hint_level: 4 } }; // the service decides which level is due
    await say(`/validate ${title}`);
  }

  private async show(
    place: Place, frames: AsyncGenerator<Frame>, stream: vscode.ChatResponseStream, token: vscode.CancellationToken,
  ): Promise<void> {
    let interrupts: Interrupt[] = [];
    const whole = new Set<string>();
    const said: string[] = [];
    for await (const frame of frames) {
      await this.memory.update(KEPT, place);
      const [kind] = frame.event.split("|");
      if (kind === "messages") said.push(this.tell((frame.data as [Message])[0], stream, whole));
      else if (kind === "custom") step(frame.data, stream);
      else if (frame.event === "values") interrupts = (frame.data as { __interrupt__?: Interrupt[] }).__interrupt__ ?? [];
      else if (kind === "error") throw failed(frame.data);
    }
    if (token.isCancellationRequested) {
      await this.client.cancel(place);
      stream.markdown(`\n\n_${vscode.l10n.t("Stopped; what you see was kept.")}_`);
    }
    await this.memory.update(KEPT, null);
    for (const interrupt of interrupts) await this.ask(place, interrupt, stream, said.join(""));
    await vscode.commands.executeCommand("aiGoals.refresh");
  }

  /** Show what a message says, and return it. */
  private tell(message: Message, stream: vscode.ChatResponseStream, whole: Set<string>): string {
    for (const call of message.tool_call_chunks ?? []) if (call.name) stream.progress(vscode.l10n.t("calls {0}", call.name));
    const text = textOf(message);
    const id = message.id ?? "";
    if (!text || message.type === "tool" || message.type === "human" || id.startsWith("do-not-render-")) return "";
    // A finished message repeats what its chunks have said.
    if (message.type !== "AIMessageChunk" && whole.has(id)) return "";
    whole.add(id);
    stream.markdown(text);
    return text;
  }

  private async ask(place: Place, interrupt: Interrupt, stream: vscode.ChatResponseStream, said: string): Promise<void> {
    await this.memory.update(PENDING, { place, interrupt } satisfies Pending);
    const request = approvalOf(interrupt.value);
    if (!request) {
      const { question } = (interrupt.value ?? {}) as { question?: string };
      stream.markdown(`\n\n${question ?? JSON.stringify(interrupt.value)}`);
      return;
    }
    const description = request.action_requests[0]?.description?.trim();
    if (description && !said.includes(description)) stream.markdown(`\n\n${description}`);
    if (request.error) stream.markdown(`\n\n${request.error}`);
    const allowed = decisionsOf(request);
    if (allowed.includes("respond")) stream.markdown(`\n\n_${vscode.l10n.t("Approve it, or write what should be different.")}_`);
    for (const [button, title] of Object.entries(titles())) {
      if (allowed.includes(button as Button)) stream.button({ command: "aiGoals.decide", title, arguments: [button] });
    }
  }
}

const titles = (): Record<Button, string> => ({ approve: vscode.l10n.t("Approve"), edit: vscode.l10n.t("Edit"), reject: vscode.l10n.t("Reject") });

const decisionsOf = (request: ApprovalRequest): Decision["type"][] => request.review_configs[0]?.allowed_decisions ?? ["approve", "reject"];

/** What resumes an interrupted run: the button's decision, or the learner's words. */
function answerTo(interrupt: Interrupt, decided: Decision | null, words: string): unknown {
  const request = approvalOf(interrupt.value);
  if (!request) return words;
  const decision = decided ?? decisionIn(words, request);
  return { decisions: request.action_requests.map(() => decision) };
}

function decisionIn(words: string, request: ApprovalRequest): Decision {
  const word = wordOf(words);
  if (word === "approve") return { type: "approve" };
  if (word === "reject" || !decisionsOf(request).includes("respond")) return { type: "reject", message: words };
  return { type: "respond", message: words };
}

/** The button whose title was written out. */
function wordOf(words: string): Button | null {
  const said = words.trim().toLowerCase();
  return (Object.entries(titles()) as [Button, string][]).find(([button, title]) => button !== "edit" && title.toLowerCase() === said)?.[0] ?? null;
}

/** Let the learner change `args` as JSON in an editor; null when they think better of it. */
async function edited(args: Record<string, unknown>): Promise<Record<string, unknown> | null> {
  const document = await vscode.workspace.openTextDocument({ language: "json", content: JSON.stringify(args, null, 2) });
  await vscode.window.showTextDocument(document);
  const { approve } = titles();
  for (let message = vscode.l10n.t("Change the plan in the editor, then approve it."); ; ) {
    if ((await vscode.window.showInformationMessage(message, approve)) !== approve) return null;
    try {
      const changed = JSON.parse(document.getText()) as Record<string, unknown>;
      await vscode.window.showTextDocument(document);
      await vscode.commands.executeCommand("workbench.action.revertAndCloseActiveEditor");
      return changed;
    } catch (error) {
      message = vscode.l10n.t("This is not JSON yet: {0}", explain(error));
    }
  }
}

/** Send `words` to `@goals` in the chat. */
export async function say(words: string): Promise<void> {
  // In two steps: sending while opening waits for a default chat participant, and an editor without Copilot may have none.
  await vscode.commands.executeCommand("workbench.action.chat.open", { query: `@goals ${words}`, isPartialQuery: true });
  await vscode.commands.executeCommand("workbench.action.chat.submit");
}

/** Show of a verdict only its hint: the learner has the findings before their eyes. */
async function hinted(frames: AsyncGenerator<Frame>, stream: vscode.ChatResponseStream): Promise<void> {
  let verdict: Verdict | null = null;
  for await (const { event, data } of frames) {
    if (event === "custom") step(data, stream);
    else if (event === "values") verdict = (data as { result?: Verdict | null }).result ?? verdict;
    else if (event === "error") throw failed(data);
  }
  const { message, hint } = verdict ?? {};
  stream.markdown(hint?.words || message || vscode.l10n.t("There is no hint for this."));
  if (hint?.held_back) stream.markdown(`\n\n_${vscode.l10n.t("The next hint opens when the code has really changed.")}_`);
}

function failed(data: unknown): Error {
  return new Error((data as { message?: string } | null)?.message ?? "The run failed.");
}

function step(data: unknown, stream: vscode.ChatResponseStream): void {
  const { text, step: name } = (data ?? {}) as { text?: string; step?: string };
  if (text ?? name) stream.progress((text ?? name) as string);
}

function lastPlace(context: vscode.ChatContext): Place | null {
  for (const turn of context.history.toReversed()) {
    if (turn instanceof vscode.ChatResponseTurn) return (turn.result.metadata as { place?: Place } | undefined)?.place ?? null;
  }
  return null;
}
