// Runs are followed to their end: across cut connections, expired tokens and refusals.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Client, Refused } from "../src/client.ts";
import { all, serve, type Scripted } from "./service.ts";

const TICKS: Scripted["frames"] = Array.from({ length: 8 }, (_, tick) => ["custom", { tick }]);

async function withService(script: Scripted, work: (client: Client, asked: string[], renewed: (string | null)[]) => Promise<void>): Promise<void> {
  const service = await serve(script);
  const renewed: (string | null)[] = [];
  const client = new Client(() => service.url, { token: async (refused) => (renewed.push(refused), "secret") }, "en", async () => {});
  try {
    await work(client, service.asked, renewed);
  } finally {
    await service.close();
  }
}

for (const cutAfter of [undefined, 1, 4, 7]) {
  test(`every frame arrives once when the connection is cut after ${cutAfter ?? "nothing"}`, () =>
    withService({ frames: TICKS, cutAfter }, async (client) => {
      const place = await client.thread("goal_planning");
      const seen: number[] = [];
      for await (const frame of client.start(place, { input: {} })) seen.push((frame.data as { tick: number }).tick);
      assert.deepEqual(seen, [0, 1, 2, 3, 4, 5, 6, 7]);
      assert.equal(place.path, "/threads/t/runs/r/stream");
    }));
}

test("a run is taken up again from the first frame after a reload", () =>
  withService({ frames: TICKS }, async (client, asked) => {
    const place = { thread: "t", agent: "goal_planning", path: "/threads/t/runs/r/stream", last: null };
    const seen = await all(client.rejoin(place));
    assert.equal(seen.length, 8);
    assert.deepEqual(asked, ["GET /threads/t/runs/r/stream -1"]);
  }));

test("an expired token is renewed once, and the request repeated", () =>
  withService({ frames: TICKS, expired: true }, async (client, asked, renewed) => {
    assert.equal((await client.thread("goal_planning")).thread, "t");
    assert.deepEqual(renewed, [null, "secret"]);
    assert.equal(asked.length, 2);
  }));

test("a refusal carries the words of the service", () =>
  withService({ frames: [] }, async (client) => {
    await assert.rejects(client.call("GET", "/goals"), (error: Refused) => error.status === 409 && error.message === "Busy.");
  }));

test("cancelling what is over already is no error", () =>
  withService({ frames: [] }, async (client, asked) => {
    await client.cancel({ thread: "t", agent: "a", path: "/threads/t/runs/r/stream", last: null });
    assert.deepEqual(asked, ["POST /threads/t/runs/r/cancel?wait=1"]);
  }));
