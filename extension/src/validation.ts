// Checks a file: hands it in as a snapshot, runs the code-validation agent, and shows its findings in the editor.
import * as vscode from "vscode";
import { Refused, type Client } from "./client.ts";
import { marksOf, type Level } from "./findings.ts";
import type { Page, Snapshot, Task, Verdict } from "./protocol.ts";

const SEVERITIES: Record<Level, vscode.DiagnosticSeverity> = {
  error: vscode.DiagnosticSeverity.Error,
  warning: vscode.DiagnosticSeverity.Warning,
  information: vscode.DiagnosticSeverity.Information,
  hint: vscode.DiagnosticSeverity.Hint,
};

/** A finding in the editor, which knows what a hint about it is asked with. */
class Finding extends vscode.Diagnostic {
  constructor(range: vscode.Range, message: string, severity: vscode.DiagnosticSeverity, readonly snapshot: string, readonly identity: string) {
    super(range, message, severity);
    this.source = "AI Goals";
  }
}

export class Validation implements vscode.CodeActionProvider {
  private readonly diagnostics = vscode.languages.createDiagnosticCollection("ai-goals");

  constructor(private readonly client: Client, private readonly memory: vscode.Memento) {}

  dispose(): void {
    this.diagnostics.dispose();
  }

  /** Findings speak about lines as they were; after an edit they would point at the wrong ones. */
  forget(uri: vscode.Uri): void {
    this.diagnostics.delete(uri);
  }

  hasTask(uri: vscode.Uri): boolean {
    return this.memory.get<string>(key(uri)) !== undefined;
  }

  /** The file in the active editor; raises if there is none. */
  document(): vscode.TextDocument {
    const document = vscode.window.activeTextEditor?.document;
    if (document?.uri.scheme !== "file") throw new Error(vscode.l10n.t("Open the file you want checked first."));
    return document;
  }

  /** Hand in the open file; `mark` shows in the editor what a check of it has found. */
  async handIn(): Promise<{ snapshot: string; mark: () => Promise<void> }> {
    const document = this.document();
    const { version } = document;
    const { id } = await this.snapshot(document);
    return { snapshot: id, mark: () => this.mark(document, version, id) };
  }

  async check(document: vscode.TextDocument): Promise<void> {
    const name = vscode.workspace.asRelativePath(document.uri);
    const { version } = document;
    const { id } = await this.snapshot(document);
    let verdict = "";
    await vscode.window.withProgress({ location: vscode.ProgressLocation.Window, title: vscode.l10n.t("Checking {0}", name) }, async () => {
      const place = await this.client.thread("code_validation");
      for await (const frame of this.client.start(place, { input: { snapshot_id: id } })) {
        if (frame.event === "error") throw new Error((frame.data as { message?: string }).message ?? "The check failed.");
        if (frame.event === "values") verdict = (frame.data as { result?: Verdict | null }).result?.message ?? verdict;
      }
      await this.mark(document, version, id);
      await vscode.commands.executeCommand("setContext", "aiGoals.validated", true);
    });
    const [first] = verdict.split("\n");
    if (first) void vscode.window.showInformationMessage(first);
  }

  provideCodeActions(document: vscode.TextDocument, range: vscode.Range): vscode.CodeAction[] {
    const here = (this.diagnostics.get(document.uri) ?? []).filter((one): one is Finding => one instanceof Finding && one.range.intersection(range) !== undefined);
    return here.map((finding) => {
      const title = finding.message.split("\n")[0]!;
      const action = new vscode.CodeAction(vscode.l10n.t("Ask @goals for a hint: {0}", title), vscode.CodeActionKind.QuickFix);
      action.diagnostics = [finding];
      action.command = { command: "aiGoals.hint", title: action.title, arguments: [finding.snapshot, finding.identity, title] };
      return action;
    });
  }

  private async mark(document: vscode.TextDocument, version: number, id: string): Promise<void> {
    const snapshot = await this.client.call<Snapshot>("GET", `/code-snapshots/${id}`);
    if (document.version !== version) return;
    const found = marksOf(snapshot.validation_issues, document.getText()).map((mark) => {
      const range = new vscode.Range(mark.startLine, mark.startColumn, mark.endLine, Math.max(mark.endColumn, mark.startColumn + 1));
      const finding = new Finding(range, mark.message, SEVERITIES[mark.level], id, mark.identity);
      finding.code = mark.code;
      return finding;
    });
    this.diagnostics.set(document.uri, found);
  }

  private async snapshot(document: vscode.TextDocument): Promise<Snapshot> {
    const { uri, languageId: language } = document;
    const body = { file_path: vscode.workspace.asRelativePath(uri, false), content: document.getText(), language };
    for (;;) {
      const known = this.hasTask(uri);
      try {
        return await this.client.call<Snapshot>("POST", "/code-snapshots", { task_id: await this.taskOf(uri), ...body });
      } catch (error) {
        await this.memory.update(key(uri), undefined);
        // The task of last time may be gone: ask for another, once.
        if (!(known && error instanceof Refused && error.status === 404)) throw error;
      }
    }
  }

  private async taskOf(uri: vscode.Uri): Promise<string> {
    const known = this.memory.get<string>(key(uri));
    if (known) return known;
    const { items } = await this.client.call<Page<Task>>("GET", "/tasks?limit=100");
    const open = items.filter((task) => task.status !== "completed" && task.status !== "cancelled");
    if (open.length === 0) throw new Error(vscode.l10n.t("There are no tasks yet. Plan a goal with @goals /plan first."));
    const chosen = await vscode.window.showQuickPick(open.map((task) => ({ label: task.title, task })), {
      placeHolder: vscode.l10n.t("Which task does {0} belong to?", vscode.workspace.asRelativePath(uri)),
    });
    if (!chosen) throw new vscode.CancellationError();
    await this.memory.update(key(uri), chosen.task.id);
    return chosen.task.id;
  }
}

function key(uri: vscode.Uri): string {
  return `aiGoals.task:${uri.toString()}`;
}
