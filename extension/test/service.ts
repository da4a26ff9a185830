// A service of a few lines: streams scripted frames, cuts the connection where told, and remembers what it was asked.
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export interface Scripted {
  frames: [event: string, data: unknown][];
  /** Cut the connection after this many frames of the first stream. */
  cutAfter?: number;
  /** Refuse the first request with 401. */
  expired?: boolean;
  /** Answers to other requests, by method and path. */
  answers?: Record<string, [status: number, body: unknown]>;
}

export async function serve(script: Scripted) {
  const asked: string[] = [];
  const sent: string[] = [];
  let refused = !script.expired;
  const stream = (response: ServerResponse, from: number, until: number): void => {
    response.writeHead(200, { "content-type": "text/event-stream", location: "/threads/t/runs/r/stream" });
    response.write(": heartbeat\r\n\r\n");
    script.frames.slice(from, until).forEach(([event, data], at) => response.write(`event: ${event}\r\ndata: ${JSON.stringify(data)}\r\nid: ${from + at + 1}\r\n\r\n`));
  };
  const server = createServer((request: IncomingMessage, response: ServerResponse) => {
    asked.push(`${request.method} ${request.url} ${request.headers["last-event-id"] ?? ""}`.trim());
    let body = "";
    request.on("data", (piece) => (body += piece)).on("end", () => body && sent.push(body));
    const [status, answer] = script.answers?.[`${request.method} ${request.url}`] ?? [];
    if (status) {
      response.writeHead(status).end(JSON.stringify(answer));
    } else if (!refused) {
      refused = true;
      response.writeHead(401, { "content-type": "application/problem+json" }).end('{"detail":"expired"}');
    } else if (request.method === "POST" && request.url === "/threads") {
      response.end('{"thread_id":"t"}');
    } else if (request.method === "POST" && request.url?.endsWith("/runs/stream")) {
      stream(response, 0, script.cutAfter ?? script.frames.length);
      if (script.cutAfter === undefined) response.end("event: end\r\ndata: null\r\n\r\n");
      else setTimeout(() => response.destroy(), 20);
    } else if (request.url?.endsWith("/stream")) {
      stream(response, Math.max(0, Number(request.headers["last-event-id"])), script.frames.length);
      response.end("event: end\r\n\r\n");
    } else if (request.url?.includes("/cancel")) {
      response.writeHead(404, { "content-type": "application/problem+json" }).end('{"detail":"nothing to cancel"}');
    } else response.writeHead(409).end('{"detail":"Busy."}');
  });
  await new Promise<void>((ready) => server.listen(0, "127.0.0.1", ready));
  const address = server.address() as AddressInfo;
  return { url: `http://127.0.0.1:${address.port}`, asked, sent, close: () => new Promise((closed) => (server.closeAllConnections(), server.close(closed))) };
}

/** Everything an async generator yields, as a list. */
export async function all<T>(source: AsyncIterable<T>): Promise<T[]> {
  const items: T[] = [];
  for await (const item of source) items.push(item);
  return items;
}
