// Server-sent events from a fetch response: the extension host has no EventSource, and that one could not send a token.

export interface Frame {
  event: string;
  data: unknown;
  id: string | null;
}

/** Yield the frames of a stream until it closes; comments (heartbeats) are skipped, half a frame at the end is dropped. */
export async function* frames(body: AsyncIterable<Uint8Array>): AsyncGenerator<Frame> {
  const decoder = new TextDecoder();
  let buffer = "";
  for await (const chunk of body) {
    buffer += decoder.decode(chunk, { stream: true }).replace(/\r/g, "");
    for (let end = buffer.indexOf("\n\n"); end >= 0; end = buffer.indexOf("\n\n")) {
      const frame = parse(buffer.slice(0, end));
      buffer = buffer.slice(end + 2);
      if (frame) yield frame;
    }
  }
}

function parse(block: string): Frame | null {
  let event = "message";
  let id: string | null = null;
  const data: string[] = [];
  for (const line of block.split("\n")) {
    if (line.startsWith("event:")) event = line.slice(6).trim();
    else if (line.startsWith("id:")) id = line.slice(3).trim();
    else if (line.startsWith("data:")) data.push(line.slice(5).trimStart());
  }
  if (data.length === 0 && event !== "end") return null;
  const text = data.join("\n");
  return { event, id, data: text ? JSON.parse(text) : null };
}
