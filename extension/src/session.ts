// Signing in: a pasted access token (or refresh token) in the editor's secret storage, offered as an authentication session.
import * as vscode from "vscode";
import type { Session } from "./client.ts";

const SECRET = "ai-goals.session";

interface Stored {
  access_token: string;
  refresh_token?: string;
}

/** Keeps the tokens; VS Code shows it under Accounts. */
export class Sessions implements Session, vscode.AuthenticationProvider {
  private readonly changed = new vscode.EventEmitter<vscode.AuthenticationProviderAuthenticationSessionsChangeEvent>();
  readonly onDidChangeSessions = this.changed.event;
  private renewing: Promise<string> | null = null;

  constructor(private readonly secrets: vscode.SecretStorage, private readonly base: () => string) {}

  async token(renew: boolean): Promise<string> {
    const stored = await this.read();
    if (!stored) throw new Error(vscode.l10n.t("Sign in to AI Goals first."));
    if (!renew) return stored.access_token;
    // Each refresh token works once, so callers that were refused together share one renewal.
    this.renewing ??= this.renew(stored).finally(() => (this.renewing = null));
    return this.renewing;
  }

  async getSessions(): Promise<vscode.AuthenticationSession[]> {
    const stored = await this.read();
    return stored ? [sessionOf(stored)] : [];
  }

  async createSession(): Promise<vscode.AuthenticationSession> {
    const token = await vscode.window.showInputBox({
      title: vscode.l10n.t("Paste an access token of the AI Goals service"),
      prompt: vscode.l10n.t("Run `goals token --user YOU` where the service runs."),
      password: true,
      ignoreFocusOut: true,
    });
    if (!token?.trim()) throw new Error(vscode.l10n.t("Sign in to AI Goals first."));
    const stored = { access_token: token.trim() };
    await this.write(stored);
    const session = sessionOf(stored);
    this.changed.fire({ added: [session], removed: [], changed: [] });
    return session;
  }

  async removeSession(): Promise<void> {
    const removed = await this.getSessions();
    await this.secrets.delete(SECRET);
    this.changed.fire({ added: [], removed, changed: [] });
  }

  private async renew(stored: Stored): Promise<string> {
    if (!stored.refresh_token) {
      await this.removeSession();
      throw new Error(vscode.l10n.t("Sign in to AI Goals first."));
    }
    const answer = await fetch(new URL("/auth/refresh", this.base()), {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ refresh_token: stored.refresh_token }),
    });
    if (!answer.ok) {
      await this.removeSession();
      throw new Error(vscode.l10n.t("Sign in to AI Goals first."));
    }
    const fresh = (await answer.json()) as Stored;
    await this.write(fresh);
    return fresh.access_token;
  }

  private async read(): Promise<Stored | null> {
    const text = await this.secrets.get(SECRET);
    return text ? (JSON.parse(text) as Stored) : null;
  }

  private async write(stored: Stored): Promise<void> {
    await this.secrets.store(SECRET, JSON.stringify(stored));
  }
}

function sessionOf(stored: Stored): vscode.AuthenticationSession {
  const claims = JSON.parse(Buffer.from(stored.access_token.split(".")[1] ?? "e30", "base64url").toString() || "{}") as { sub?: string };
  const id = claims.sub ?? "learner";
  return { id, accessToken: stored.access_token, account: { id, label: id }, scopes: [] };
}
