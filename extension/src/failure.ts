// What a failure says to the learner, and what they can do about it.
import * as vscode from "vscode";
import { SignedOut, Unreachable } from "./client.ts";

export const serverUrl = (): string => vscode.workspace.getConfiguration("aiGoals").get<string>("serverUrl", "http://127.0.0.1:8000");

export function explain(error: unknown): string {
  if (error instanceof Unreachable) return vscode.l10n.t("The AI Goals service does not answer at {0}.", serverUrl());
  return error instanceof Error ? error.message : String(error);
}

/** Do `work`; a failure becomes a message, with the way to sign in if that is what is missing. */
export async function guarded(work: () => unknown): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (error instanceof vscode.CancellationError) return;
    const signIn = vscode.l10n.t("Sign In");
    const offered = error instanceof SignedOut ? [signIn] : [];
    if ((await vscode.window.showErrorMessage(explain(error), ...offered)) === signIn) await vscode.commands.executeCommand("aiGoals.signIn");
  }
}
