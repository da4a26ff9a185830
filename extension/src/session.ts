// Signing in with a sign-in link, a password or an access token; the tokens lie in the editor's secret storage.
import * as vscode from "vscode";
import { reach, SignedOut, type Session } from "./client.ts";

const SECRET = "ai-goals.session";

interface Stored {
  access_token: string;
  refresh_token?: string;
  /** The service they are for; no other ever sees them. */
  server?: string;
}

/** Keeps the tokens; VS Code shows it under Accounts. */
export class Sessions implements Session, vscode.AuthenticationProvider {
  private readonly changed = new vscode.EventEmitter<vscode.AuthenticationProviderAuthenticationSessionsChangeEvent>();
  readonly onDidChangeSessions = this.changed.event;
  private renewing: Promise<string> | null = null;

  constructor(private readonly secrets: vscode.SecretStorage, private readonly base: () => string) {}

  async token(refused: string | null): Promise<string> {
    const stored = await this.read();
    if (!stored) throw signedOut();
    // Another request, or another window, may have renewed it meanwhile.
    if (stored.access_token !== refused) return stored.access_token;
    // Each refresh token works once, so callers that were refused together share one renewal.
    this.renewing ??= this.renew(stored).finally(() => (this.renewing = null));
    return this.renewing;
  }

  async getSessions(): Promise<vscode.AuthenticationSession[]> {
    const stored = await this.read();
    return stored ? [sessionOf(stored)] : [];
  }

  /** Ask who it is. A sign-in link also says where the service is. Throws `CancellationError`, or what the service answered. */
  async createSession(): Promise<vscode.AuthenticationSession> {
    const given = await ask(vscode.l10n.t("Sign in to AI Goals"), vscode.l10n.t("Paste the sign-in link that the service printed, or write your email address."));
    const stored = await this.trade(given);
    await this.write(stored);
    const session = sessionOf(stored);
    this.changed.fire({ added: [session], removed: [], changed: [] });
    return session;
  }

  async removeSession(): Promise<void> {
    const stored = await this.read();
    if (!stored) return;
    await this.secrets.delete(SECRET);
    this.changed.fire({ added: [], removed: [sessionOf(stored)], changed: [] });
    const { refresh_token: token } = stored;
    if (token) await reach(new URL("/auth/revoke", this.base()), { method: "POST", body: new URLSearchParams({ token }) }).catch(() => undefined);
  }

  private async trade(given: string): Promise<Stored> {
    const link = /^(https?:\/\/.+)#sign-in=(.+)$/.exec(given);
    if (link) {
      const { origin } = new URL(link[1]!);
      const pair = await this.pair(new URL("/auth/sign-in", origin), json({ token: decodeURIComponent(link[2]!) }));
      if (origin !== this.server()) {
        await vscode.workspace.getConfiguration("aiGoals").update("serverUrl", origin, vscode.ConfigurationTarget.Global);
      }
      return pair;
    }
    if (given.includes("@")) {
      const password = await ask(vscode.l10n.t("Sign in to AI Goals"), vscode.l10n.t("Password of {0}", given), true);
      return this.pair(new URL("/auth/token", this.base()), { body: new URLSearchParams({ grant_type: "password", username: given, password }) });
    }
    const answer = await reach(new URL("/goals?limit=1", this.base()), { headers: { Authorization: `Bearer ${given}` } });
    if (!answer.ok) throw new Error(vscode.l10n.t("This is no sign-in link, email address or access token of the service."));
    return { access_token: given };
  }

  private async pair(url: URL, init: RequestInit): Promise<Stored> {
    const answer = await reach(url, { method: "POST", ...init });
    const body = (await answer.json().catch(() => ({}))) as Stored & { detail?: string };
    if (!answer.ok) throw new Error(body.detail ?? `The service answered ${answer.status}.`);
    return body;
  }

  private async renew(stored: Stored): Promise<string> {
    const { refresh_token } = stored;
    const answer = refresh_token ? await reach(new URL("/auth/refresh", this.base()), { method: "POST", ...json({ refresh_token }) }) : null;
    if (answer?.ok) {
      const fresh = (await answer.json()) as Stored;
      await this.write(fresh);
      return fresh.access_token;
    }
    if (answer && answer.status !== 401) throw new Error(`The service answered ${answer.status}.`);
    await this.removeSession();
    throw signedOut();
  }

  private async read(): Promise<Stored | null> {
    const text = await this.secrets.get(SECRET);
    const stored = text ? (JSON.parse(text) as Stored) : null;
    return stored?.server === this.server() ? stored : null;
  }

  private async write({ access_token, refresh_token }: Stored): Promise<void> {
    await this.secrets.store(SECRET, JSON.stringify({ access_token, refresh_token, server: this.server() } satisfies Stored));
  }

  private server(): string {
    return new URL(this.base()).origin;
  }
}

function signedOut(): SignedOut {
  return new SignedOut(vscode.l10n.t("Sign in to AI Goals first."));
}

function json(body: unknown): RequestInit {
  return { headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
}

async function ask(title: string, prompt: string, password = false): Promise<string> {
  const given = (await vscode.window.showInputBox({ title, prompt, password, ignoreFocusOut: true }))?.trim();
  if (!given) throw new vscode.CancellationError();
  return given;
}

function sessionOf(stored: Stored): vscode.AuthenticationSession {
  const claims = JSON.parse(Buffer.from(stored.access_token.split(".")[1] ?? "e30", "base64url").toString() || "{}") as { sub?: string };
  const id = claims.sub ?? "learner";
  return { id, accessToken: stored.access_token, account: { id, label: id }, scopes: [] };
}
