// Puts the parts together: session, client, chat participant, tree, validation, status bar.
import * as vscode from "vscode";
import { Goals } from "./chat.ts";
import { Client, Unreachable } from "./client.ts";
import { offerModel } from "./model.ts";
import type { Decision } from "./protocol.ts";
import { Sessions } from "./session.ts";
import { GoalTree } from "./tree.ts";
import { Validation } from "./validation.ts";

const base = (): string => vscode.workspace.getConfiguration("aiGoals").get<string>("serverUrl", "http://127.0.0.1:8000");

export async function activate(context: vscode.ExtensionContext): Promise<void> {
  const sessions = new Sessions(context.secrets, base);
  const client = new Client(base, sessions);
  const status = vscode.window.createStatusBarItem(vscode.StatusBarAlignment.Left);
  status.command = "aiGoals.tree.focus";
  const tree = new GoalTree(client, (done, total) => {
    status.text = `$(target) ${vscode.l10n.t("{0} of {1} goals", done, total)}`;
    status.show();
  });
  const validation = new Validation(client, context.workspaceState);
  const goals = new Goals(client, context.workspaceState, () => validation.handIn());
  const view = vscode.window.createTreeView("aiGoals.tree", { treeDataProvider: tree, manageCheckboxStateManually: true });
  const participant = vscode.chat.createChatParticipant("ai-goals.goals", goals.handle);
  participant.iconPath = vscode.Uri.joinPath(context.extensionUri, "media", "icon.svg");

  const signedIn = async (): Promise<void> => {
    await vscode.commands.executeCommand("setContext", "aiGoals.signedIn", (await sessions.getSessions()).length > 0);
    tree.refresh();
  };
  const command = (name: string, work: (...args: never[]) => unknown): vscode.Disposable =>
    vscode.commands.registerCommand(name, async (...args: never[]) => guarded(() => work(...args)));

  context.subscriptions.push(
    status, validation, view, participant,
    vscode.authentication.registerAuthenticationProvider("ai-goals", "AI Goals", sessions),
    sessions.onDidChangeSessions(signedIn),
    view.onDidChangeCheckboxState((event) => tree.tick(event.items)),
    vscode.languages.registerCodeActionsProvider({ scheme: "file" }, validation),
    vscode.workspace.onDidChangeTextDocument(({ document, contentChanges }) => contentChanges.length && validation.forget(document.uri)),
    vscode.workspace.onDidSaveTextDocument((document) => {
      const wanted = vscode.workspace.getConfiguration("aiGoals").get<boolean>("validateOnSave", false);
      if (wanted && validation.hasTask(document.uri)) void guarded(() => validation.check(document));
    }),
    command("aiGoals.signIn", () => sessions.createSession()),
    command("aiGoals.refresh", () => tree.refresh()),
    command("aiGoals.openPage", () => vscode.env.openExternal(vscode.Uri.parse(base()))),
    command("aiGoals.decide", (type: Decision["type"]) => goals.decide(type)),
    command("aiGoals.validateFile", async () => {
      const document = vscode.window.activeTextEditor?.document;
      if (!document) throw new Error(vscode.l10n.t("Open the file you want checked first."));
      await validation.check(document);
    }),
  );
  await signedIn();
  const model = await offerModel();
  if (model) context.subscriptions.push(model);
  if (goals.unfinished) void offerResume();
}

async function offerResume(): Promise<void> {
  const show = vscode.l10n.t("Show");
  if ((await vscode.window.showInformationMessage(vscode.l10n.t("An answer was still being written. Show it?"), show)) === show) {
    await vscode.commands.executeCommand("workbench.action.chat.open", { query: "@goals /resume" });
  }
}

async function guarded(work: () => unknown): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (error instanceof vscode.CancellationError) return;
    const message = error instanceof Unreachable ? vscode.l10n.t("The AI Goals service does not answer at {0}.", base()) : String(error instanceof Error ? error.message : error);
    void vscode.window.showErrorMessage(message);
  }
}
