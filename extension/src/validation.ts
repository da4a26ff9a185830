// Checks a file: hands it in as a snapshot, runs the code-validation agent, and shows its findings in the editor.
import * as vscode from "vscode";
import type { Client } from "./client.ts";
import { marksOf, type Level } from "./findings.ts";
import type { Page, Snapshot, Task } from "./protocol.ts";

const SEVERITIES: Record<Level, vscode.DiagnosticSeverity> = {
  error: vscode.DiagnosticSeverity.Error,
  warning: vscode.DiagnosticSeverity.Warning,
  information: vscode.DiagnosticSeverity.Information,
  hint: vscode.DiagnosticSeverity.Hint,
};

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

  /** Hand in the open file and return the sentence that asks the agent to check it. */
  async handIn(): Promise<string> {
    const document = vscode.window.activeTextEditor?.document;
    if (!document) throw new Error(vscode.l10n.t("Open the file you want checked first."));
    const snapshot = await this.snapshot(document);
    return `snapshot_id: ${snapshot.id}`;
  }

  async check(document: vscode.TextDocument): Promise<void> {
    const name = vscode.workspace.asRelativePath(document.uri);
    await vscode.window.withProgress({ location: vscode.ProgressLocation.Window, title: vscode.l10n.t("Checking {0}", name) }, async () => {
      const version = document.version;
      const snapshot = await this.snapshot(document);
      const place = await this.client.thread("code_validation");
      for await (const frame of this.client.start(place, { input: { snapshot_id: snapshot.id } })) {
        if (frame.event === "error") throw new Error((frame.data as { message?: string }).message ?? "The check failed.");
      }
      const checked = await this.client.call<Snapshot>("GET", `/code-snapshots/${snapshot.id}`);
      if (document.version === version) this.show(document, checked);
      await vscode.commands.executeCommand("setContext", "aiGoals.validated", true);
    });
  }

  provideCodeActions(document: vscode.TextDocument, range: vscode.Range): vscode.CodeAction[] {
    const here = (this.diagnostics.get(document.uri) ?? []).filter((one) => one.range.intersection(range));
    return here.map((diagnostic) => {
      const action = new vscode.CodeAction(`@goals: ${diagnostic.message.split("\n")[0]}`, vscode.CodeActionKind.QuickFix);
      action.diagnostics = [diagnostic];
      action.command = { command: "workbench.action.chat.open", title: "@goals", arguments: [{ query: `@goals /validate ${diagnostic.message.split("\n")[0]}` }] };
      return action;
    });
  }

  private show(document: vscode.TextDocument, snapshot: Snapshot): void {
    const found = marksOf(snapshot.validation_issues, document.getText()).map((mark) => {
      const range = new vscode.Range(mark.startLine, mark.startColumn, mark.endLine, Math.max(mark.endColumn, mark.startColumn + 1));
      const diagnostic = new vscode.Diagnostic(range, mark.message, SEVERITIES[mark.level]);
      diagnostic.source = "AI Goals";
      diagnostic.code = mark.code;
      return diagnostic;
    });
    this.diagnostics.set(document.uri, found);
  }

  private async snapshot(document: vscode.TextDocument): Promise<Snapshot> {
    const task_id = await this.taskOf(document.uri);
    const file_path = vscode.workspace.asRelativePath(document.uri, false);
    return this.client.call<Snapshot>("POST", "/code-snapshots", { task_id, file_path, content: document.getText(), language: document.languageId });
  }

  private async taskOf(uri: vscode.Uri): Promise<string> {
    const known = this.memory.get<string>(key(uri));
    if (known) return known;
    const { items } = await this.client.call<Page<Task>>("GET", "/tasks?limit=100");
    const open = items.filter((task) => task.status !== "completed" && task.status !== "cancelled");
    if (open.length === 0) throw new Error(vscode.l10n.t("There are no tasks yet. Plan a goal with @goals /plan first."));
    const chosen = await vscode.window.showQuickPick(open.map((task) => ({ label: task.title, description: task.type, task })), {
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
