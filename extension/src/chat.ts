// `@goals` in the chat: each command is one of the service's agents, and each answer streams from a run that outlives the window.
import * as vscode from "vscode";
import type { Client } from "./client.ts";
import { approvalOf, textOf, type ApprovalRequest, type Decision, type Interrupt, type Message, type Place } from "./protocol.ts";

const AGENTS: Record<string, string> = { plan: "goal_planning", validate: "code_validation", next: "task_suggestion" };
const KEPT = "aiGoals.place";
const PENDING = "aiGoals.pending";

interface Pending {
  place: Place;
  interrupt: Interrupt;
}

export class Goals {
  constructor(private readonly client: Client, private readonly memory: vscode.Memento, private readonly checkFile: () => Promise<string>) {}

  readonly handle: vscode.ChatRequestHandler = async (request, context, stream, token) => {
    const stop = new AbortController();
    const cancelled = token.onCancellationRequested(() => stop.abort());
    try {
      await this.answer(request, context, stream, token, stop.signal);
    } catch (error) {
      return { errorDetails: { message: error instanceof Error ? error.message : String(error) } };
    } finally {
      cancelled.dispose();
    }
    return { metadata: { place: this.memory.get<Place>(KEPT) } };
  };

  /** True while an answer of the last window was never seen to its end. */
  get unfinished(): boolean {
    return this.memory.get<Place | null>(KEPT, null) !== null;
  }

  private async answer(
    request: vscode.ChatRequest, context: vscode.ChatContext, stream: vscode.ChatResponseStream, token: vscode.CancellationToken, signal: AbortSignal,
  ): Promise<void> {
    if (request.command === "resume") return this.resume(stream, token, signal);
    const agent = AGENTS[request.command ?? ""] ?? this.lastAgent(context) ?? "goal_planning";
    const previous = this.lastPlace(context);
    const place = previous?.agent === agent ? previous : await this.client.thread(agent);
    const text = request.command === "validate" ? `${request.prompt}\n${await this.checkFile()}`.trim() : request.prompt;
    await this.show(place, this.client.start(place, { input: { messages: [{ role: "user", content: text }] } }, signal), stream, token);
  }

  private async resume(stream: vscode.ChatResponseStream, token: vscode.CancellationToken, signal: AbortSignal): Promise<void> {
    const place = this.memory.get<Place | null>(KEPT, null);
    if (!place) {
      stream.markdown(vscode.l10n.t("There is nothing to take up again."));
      return;
    }
    place.last = null; // the chat is empty after a reload, so the whole answer is shown again
    await this.show(place, this.client.rejoin(place, signal), stream, token);
  }

  /** Answer a pending question of an agent, from one of the buttons below its plan. */
  async decide(type: Decision["type"]): Promise<void> {
    const pending = this.memory.get<Pending | null>(PENDING, null);
    const request = pending ? approvalOf(pending.interrupt.value) : null;
    if (!pending || !request) return;
    const decision = await this.decision(type, request);
    if (!decision) return;
    await this.memory.update(PENDING, null);
    const resumed = this.client.start(pending.place, { command: { resume: { [pending.interrupt.id]: { decisions: [decision] } } } });
    await vscode.window.withProgress({ location: vscode.ProgressLocation.Notification, title: "AI Goals" }, async (progress) => {
      let said = "";
      for await (const frame of resumed) {
        if (frame.event === "messages") said += textOf((frame.data as [Message])[0]);
        if (frame.event === "custom") progress.report({ message: (frame.data as { text?: string }).text });
        if (frame.event === "error") throw new Error((frame.data as { message: string }).message);
      }
      if (said) void vscode.window.showInformationMessage(said.slice(0, 400));
    });
    await vscode.commands.executeCommand("setContext", "aiGoals.planned", true);
    await vscode.commands.executeCommand("aiGoals.refresh");
  }

  private async decision(type: Decision["type"], request: ApprovalRequest): Promise<Decision | null> {
    const action = request.action_requests[0];
    if (type === "approve" || type === "reject") return { type };
    if (type === "respond") {
      const message = await vscode.window.showInputBox({ prompt: vscode.l10n.t("What should be different?"), ignoreFocusOut: true });
      return message ? { type, message } : null;
    }
    if (!action) return null;
    const document = await vscode.workspace.openTextDocument({ language: "json", content: JSON.stringify(action.args, null, 2) });
    const editor = await vscode.window.showTextDocument(document);
    const approve = vscode.l10n.t("Approve");
    const choice = await vscode.window.showInformationMessage(vscode.l10n.t("Edit"), { modal: false }, approve);
    if (choice !== approve) return null;
    return { type, edited_action: { name: action.name, args: JSON.parse(editor.document.getText()) as Record<string, unknown> } };
  }

  private async show(
    place: Place, frames: AsyncGenerator<{ event: string; data: unknown }>, stream: vscode.ChatResponseStream, token: vscode.CancellationToken,
  ): Promise<void> {
    let interrupts: Interrupt[] = [];
    const whole = new Set<string>();
    for await (const frame of frames) {
      await this.memory.update(KEPT, place);
      const [kind] = frame.event.split("|");
      if (kind === "messages") this.say((frame.data as [Message])[0], stream, whole);
      else if (kind === "custom") step(frame.data, stream);
      else if (frame.event === "values") interrupts = (frame.data as { __interrupt__?: Interrupt[] }).__interrupt__ ?? [];
      else if (kind === "error") throw new Error((frame.data as { message?: string }).message ?? "The run failed.");
    }
    if (token.isCancellationRequested) {
      await this.client.cancel(place);
      stream.markdown(`\n\n_${vscode.l10n.t("Stopped; what you see was kept.")}_`);
    }
    await this.memory.update(KEPT, null);
    for (const interrupt of interrupts) await this.ask(place, interrupt, stream);
    await vscode.commands.executeCommand("aiGoals.refresh");
  }

  private say(message: Message, stream: vscode.ChatResponseStream, whole: Set<string>): void {
    for (const call of message.tool_call_chunks ?? []) if (call.name) stream.progress(vscode.l10n.t("calls {0}", call.name));
    const text = textOf(message);
    const id = message.id ?? "";
    if (!text || message.type === "tool" || message.type === "human" || id.startsWith("do-not-render-")) return;
    // A finished message repeats what its chunks have said.
    if (message.type !== "AIMessageChunk" && whole.has(id)) return;
    whole.add(id);
    stream.markdown(text);
  }

  private async ask(place: Place, interrupt: Interrupt, stream: vscode.ChatResponseStream): Promise<void> {
    const request = approvalOf(interrupt.value);
    const action = request?.action_requests[0];
    if (!request || !action) {
      stream.markdown(`\n\n${JSON.stringify(interrupt.value)}`);
      return;
    }
    await this.memory.update(PENDING, { place, interrupt } satisfies Pending);
    if (action.description) stream.markdown(`\n\n${action.description}\n`);
    const titles: Record<Decision["type"], string> = {
      approve: vscode.l10n.t("Approve"), edit: vscode.l10n.t("Edit"), reject: vscode.l10n.t("Reject"), respond: vscode.l10n.t("Ask for changes"),
    };
    for (const type of request.review_configs[0]?.allowed_decisions ?? ["approve", "reject"]) {
      stream.button({ command: "aiGoals.decide", title: titles[type], arguments: [type] });
    }
  }

  private lastPlace(context: vscode.ChatContext): Place | null {
    for (const turn of context.history.toReversed()) {
      if (turn instanceof vscode.ChatResponseTurn) return (turn.result.metadata as { place?: Place } | undefined)?.place ?? null;
    }
    return null;
  }

  private lastAgent(context: vscode.ChatContext): string | null {
    return this.lastPlace(context)?.agent ?? null;
  }
}

function step(data: unknown, stream: vscode.ChatResponseStream): void {
  const { text, step: name } = (data ?? {}) as { text?: string; step?: string };
  if (text ?? name) stream.progress((text ?? name) as string);
}
