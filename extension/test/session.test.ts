// Signing in: by link, password or token; renewing; and that no other service ever sees a token.
import assert from "node:assert/strict";
import { test } from "node:test";
import { SignedOut, Unreachable } from "../src/client.ts";
import { Sessions } from "../src/session.ts";
import { serve, type Scripted } from "./service.ts";
import { CancellationError, editor } from "./vscode.ts";

const jwt = (sub: string): string => `h.${Buffer.from(JSON.stringify({ sub })).toString("base64url")}.s`;
const pair = (name: string) => ({ access_token: jwt(name), refresh_token: `refresh-${name}`, expires_in: 900 });

async function signing(answers: Scripted["answers"], work: (sessions: Sessions, service: Awaited<ReturnType<typeof serve>>) => Promise<void>): Promise<void> {
  const service = await serve({ frames: [], answers });
  const secrets = new Map<string, string>();
  const storage = { get: async (key: string) => secrets.get(key), store: async (key: string, value: string) => void secrets.set(key, value), delete: async (key: string) => void secrets.delete(key) };
  editor.settings.serverUrl = service.url;
  try {
    await work(new Sessions(storage as never, () => editor.settings.serverUrl as string), service);
  } finally {
    await service.close();
  }
}

test("a sign-in link signs in, and says where the service is", () =>
  signing({ "POST /auth/sign-in": [200, pair("ada")] }, async (sessions, service) => {
    editor.settings.serverUrl = "http://127.0.0.1:8000";
    editor.typed = [`${service.url}/#sign-in=gsl_once`];
    assert.equal((await sessions.createSession()).account.label, "ada");
    assert.deepEqual(service.sent, ['{"token":"gsl_once"}']);
    assert.equal(editor.settings.serverUrl, service.url);
    assert.equal(await sessions.token(null), jwt("ada"));
  }));

test("an email address asks for its password", () =>
  signing({ "POST /auth/token": [200, pair("ada")] }, async (sessions, service) => {
    editor.typed = ["ada@example.org", "correct horse"];
    await sessions.createSession();
    assert.deepEqual(service.sent, ["grant_type=password&username=ada%40example.org&password=correct+horse"]);
  }));

test("what is neither link nor address must be a token the service takes", () =>
  signing({ "GET /goals?limit=1": [401, {}] }, async (sessions) => {
    editor.typed = ["nonsense"];
    await assert.rejects(sessions.createSession(), /no sign-in link/);
    assert.deepEqual(await sessions.getSessions(), []);
    editor.typed = [undefined];
    await assert.rejects(sessions.createSession(), CancellationError);
  }));

test("a refused token is renewed once for all who were refused", () =>
  signing({ "POST /auth/sign-in": [200, pair("old")], "POST /auth/refresh": [200, pair("new")] }, async (sessions, service) => {
    editor.typed = [`${service.url}/#sign-in=l`];
    await sessions.createSession();
    assert.deepEqual(await Promise.all([sessions.token(jwt("old")), sessions.token(jwt("old"))]), [jwt("new"), jwt("new")]);
    assert.equal(await sessions.token(jwt("old")), jwt("new"), "one renewed by another is taken as it is");
    assert.equal(service.asked.filter((each) => each === "POST /auth/refresh").length, 1);
  }));

for (const [status, kept] of [[401, 0], [503, 1]] as const) {
  test(`a renewal answered ${status} ${kept ? "keeps" : "ends"} the session`, () =>
    signing({ "POST /auth/sign-in": [200, pair("ada")], "POST /auth/refresh": [status, {}], "POST /auth/revoke": [204, null] }, async (sessions, service) => {
      editor.typed = [`${service.url}/#sign-in=l`];
      await sessions.createSession();
      await assert.rejects(sessions.token(jwt("ada")), (error) => error instanceof SignedOut !== Boolean(kept));
      assert.equal((await sessions.getSessions()).length, kept);
    }));
}

test("a service that is down ends no session, and another service sees no token", () =>
  signing({ "POST /auth/sign-in": [200, pair("ada")] }, async (sessions, service) => {
    editor.typed = [`${service.url}/#sign-in=l`];
    await sessions.createSession();
    await service.close();
    await assert.rejects(sessions.token(jwt("ada")), Unreachable);
    assert.equal((await sessions.getSessions()).length, 1);
    editor.settings.serverUrl = "http://elsewhere.example";
    await assert.rejects(sessions.token(null), SignedOut);
  }));
