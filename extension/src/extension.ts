// Puts the parts together: session, client, chat participant, tree, validation, status bar.
import * as vscode from "vscode";
import { Goals, say } from "./chat.ts";
import { Client } from "./client.ts";
import { guarded, serverUrl } from "./failure.ts";
import { offerModel } from "./model.ts";
import type { Button } from "./protocol.ts";
import { Sessions } from "./session.ts";
import { GoalTree } from "./tree.ts";
import { Validation } from "./validation.ts";

export async function activate(context: vscode.ExtensionContext): Promise<void> {
  const sessions = new Sessions(context.secrets, serverUrl);
  const client = new Client(serverUrl, sessions, vscode.env.language);
  const status = vscode.window.createStatusBarItem(vscode.StatusBarAlignment.Left);
  status.name = "AI Goals";
  status.command = "aiGoals.tree.focus";
  const tree = new GoalTree(client, (done, total) => {
    status.text = `$(target) ${vscode.l10n.t("{0} of {1} goals", done, total)}`;
    status.show();
  });
  const validation = new Validation(client, context.workspaceState);
  const goals = new Goals(client, context.workspaceState, validation);
  const view = vscode.window.createTreeView("aiGoals.tree", { treeDataProvider: tree, manageCheckboxStateManually: true });
  const participant = vscode.chat.createChatParticipant("ai-goals.goals", goals.handle);
  participant.iconPath = vscode.Uri.joinPath(context.extensionUri, "media", "icon.svg");

  const signedIn = async (): Promise<void> => {
    const known = (await sessions.getSessions()).length > 0;
    if (!known) status.hide();
    await vscode.commands.executeCommand("setContext", "aiGoals.signedIn", known);
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
    vscode.workspace.onDidChangeConfiguration((event) => event.affectsConfiguration("aiGoals.serverUrl") && void signedIn()),
    vscode.workspace.onDidChangeTextDocument(({ document, contentChanges }) => contentChanges.length && validation.forget(document.uri)),
    vscode.workspace.onDidSaveTextDocument((document) => {
      const wanted = vscode.workspace.getConfiguration("aiGoals").get<boolean>("validateOnSave", false);
      if (wanted && validation.hasTask(document.uri)) void guarded(() => validation.check(document));
    }),
    command("aiGoals.signIn", () => sessions.createSession()),
    command("aiGoals.signOut", () => sessions.removeSession()),
    command("aiGoals.refresh", () => tree.refresh()),
    command("aiGoals.openPage", () => vscode.env.openExternal(vscode.Uri.parse(serverUrl()))),
    command("aiGoals.decide", (button: Button) => goals.decide(button)),
    command("aiGoals.hint", (snapshot: string, finding: string, title: string) => goals.hint(snapshot, finding, title)),
    command("aiGoals.validateFile", () => validation.check(validation.document())),
  );
  await signedIn();
  const model = offerModel();
  if (model) context.subscriptions.push(model);
  if (goals.unfinished) void offerResume();
}

async function offerResume(): Promise<void> {
  const show = vscode.l10n.t("Show");
  if ((await vscode.window.showInformationMessage(vscode.l10n.t("An answer was still being written. Show it?"), show)) === show) {
    await say("/resume");
  }
}
