// The service as the extension sees it: plain JSON calls, and runs that are followed to their end whatever the network does.
import { frames, type Frame } from "./sse.ts";
import type { Place } from "./protocol.ts";

/** The service refused; `message` is what it said. */
export class Refused extends Error {
  constructor(readonly status: number, detail: string) {
    super(detail);
  }
}

/** The service did not answer at all. */
export class Unreachable extends Error {}

/** Nobody is signed in, or no longer. */
export class SignedOut extends Error {}

export interface Session {
  /** An access token other than `refused`, the one the service did not take. Throws `SignedOut`. */
  token(refused: string | null): Promise<string>;
}

/** `fetch` whose failures are `Unreachable`, unless it was stopped from here. */
export async function reach(url: URL, init: RequestInit): Promise<Response> {
  try {
    return await fetch(url, init);
  } catch (error) {
    if (init.signal?.aborted) throw error;
    throw new Unreachable(String(error));
  }
}

const MODES = ["values", "messages-tuple", "custom"];

export class Client {
  constructor(
    private readonly base: () => string,
    private readonly session: Session,
    private readonly locale = "en",
    private readonly pause: (milliseconds: number) => Promise<void> = (time) => new Promise((done) => setTimeout(done, time)),
  ) {}

  /** Send a request and return its JSON, or undefined for an empty answer. Throws `Refused` and `Unreachable`. */
  async call<T>(method: string, path: string, body?: unknown, headers: Record<string, string> = {}): Promise<T> {
    const answer = await this.send(method, path, body, headers);
    const text = await answer.text();
    return (text ? JSON.parse(text) : undefined) as T;
  }

  async send(method: string, path: string, body?: unknown, headers: Record<string, string> = {}, signal?: AbortSignal): Promise<Response> {
    for (let refused: string | null = null; ; ) {
      const token = await this.session.token(refused);
      const answer = await reach(new URL(path, this.base()), {
        method,
        signal,
        headers: { Authorization: `Bearer ${token}`, ...(body === undefined ? {} : { "Content-Type": "application/json" }), ...headers },
        body: body === undefined ? undefined : JSON.stringify(body),
      });
      if (answer.ok) return answer;
      if (answer.status === 401 && refused === null) {
        refused = token;
        continue;
      }
      const problem = (await answer.json().catch(() => null)) as { detail?: string } | null;
      throw new Refused(answer.status, problem?.detail ?? `The service answered ${answer.status}.`);
    }
  }

  /** Make a thread for an agent. */
  async thread(agent: string): Promise<Place> {
    const made = await this.call<{ thread_id: string }>("POST", "/threads", { metadata: { graph_id: agent } });
    return { thread: made.thread_id, agent, path: null, last: null };
  }

  /** Start a run on the thread of `place` and follow it; `place` is kept current, so that it can be stored. */
  start(place: Place, what: { input?: unknown; command?: unknown }, signal?: AbortSignal): AsyncGenerator<Frame> {
    const body = { assistant_id: place.agent, stream_mode: MODES, stream_resumable: true, on_disconnect: "continue", context: { locale: this.locale }, ...what };
    place.path = null;
    place.last = null;
    return this.follow(place, () => this.send("POST", `/threads/${place.thread}/runs/stream`, body, {}, signal), signal);
  }

  /** Follow a run that was started before, from the frame after the last one seen. */
  rejoin(place: Place, signal?: AbortSignal): AsyncGenerator<Frame> {
    return this.follow(place, null, signal);
  }

  /** Stop the run of `place` on the service, not only here. Idempotent. */
  async cancel(place: Place): Promise<void> {
    if (!place.path) return;
    try {
      await this.call("POST", `${place.path.replace(/\/stream$/, "")}/cancel?wait=1`);
    } catch (error) {
      if (!(error instanceof Refused && error.status === 404)) throw error;
    }
  }

  private async *follow(place: Place, start: (() => Promise<Response>) | null, signal?: AbortSignal): AsyncGenerator<Frame> {
    for (let failures = 0; failures < 8; ) {
      try {
        const answer = start && place.path === null ? await start() : await this.join(place, signal);
        const named = answer.headers.get("location");
        if (named) place.path = new URL(named, this.base()).pathname;
        for await (const frame of frames(answer.body as unknown as AsyncIterable<Uint8Array>)) {
          failures = 0;
          if (frame.id) place.last = frame.id;
          if (frame.event === "end") return;
          yield frame;
        }
        if (place.path === null || !(await this.alive(place))) return;
      } catch (error) {
        if (signal?.aborted) return;
        if (error instanceof Refused || error instanceof SignedOut || place.path === null) throw error;
        failures += 1;
        await this.pause(Math.min(8000, 250 * 2 ** failures));
      }
    }
    throw new Unreachable("The connection was lost.");
  }

  private async join(place: Place, signal?: AbortSignal): Promise<Response> {
    if (place.path === null) throw new Refused(404, "There is nothing to take up again.");
    return this.send("GET", place.path, undefined, { "Last-Event-ID": place.last ?? "-1" }, signal);
  }

  private async alive(place: Place): Promise<boolean> {
    const run = await this.call<{ status: string }>("GET", (place.path ?? "").replace(/\/stream$/, ""));
    return run.status === "pending" || run.status === "running";
  }
}
