// A small, safe subset of Markdown as DOM nodes: paragraphs, headings, lists, code, emphasis. Links are shown, not followed blindly.
import { el } from "/page/dom.js";

/** Render `text` into a list of nodes; unfinished Markdown, as it arrives while streaming, renders as far as it goes. */
export function render(text) {
  const nodes = [];
  const blocks = text.split(/(```[^\n]*\n[\s\S]*?(?:```|$))/);
  for (const block of blocks) {
    if (block.startsWith("```")) nodes.push(el("pre", el("code", block.replace(/^```[^\n]*\n/, "").replace(/```$/, ""))));
    else for (const part of block.split(/\n{2,}/)) if (part.trim()) place(nodes, part);
  }
  return nodes;
}

/** An indented part belongs to the list item above it; a list that goes on after such a part stays one list. */
function place(nodes, part) {
  const last = nodes.at(-1);
  const list = /^[uo]l$/.test(last?.localName) ? last : null;
  if (list && /^\s{2,}\S/.test(part) && !/^\s*([-*•]|\d+[.)])\s/.test(part)) {
    list.lastElementChild.append(...paragraph(part.replace(/^\s+/gm, "")));
    return;
  }
  const fresh = paragraph(part);
  if (list && fresh[0]?.localName === list.localName) list.append(...fresh.shift().children);
  nodes.push(...fresh);
}

function paragraph(part) {
  const nodes = [];
  let list = null;
  let lines = [];
  const flush = () => {
    if (lines.length) nodes.push(el("p", lines.flatMap((line, at) => (at ? [el("br"), ...inline(line)] : inline(line)))));
    lines = [];
  };
  for (const line of part.split("\n")) {
    const item = /^\s*(?:([-*•])|(\d+)[.)])\s+(.*)/.exec(line);
    const heading = /^(#{1,4})\s+(.*)/.exec(line);
    if (item) {
      flush();
      const tag = item[2] ? "ol" : "ul";
      if (!list || list.localName !== tag) nodes.push((list = el(tag, item[2] ? { start: item[2] } : null)));
      list.append(el("li", inline(item[3])));
      continue;
    }
    if (list && /^\s{2,}\S/.test(line)) {
      list.lastElementChild.append(el("br"), ...inline(line.trim()));
      continue;
    }
    list = null;
    if (heading) {
      flush();
      nodes.push(el("h3", inline(heading[2])));
    } else if (line.trim()) lines.push(line);
  }
  flush();
  return nodes;
}

function inline(text) {
  return text.split(/(`[^`]+`|\*\*[^*]+\*\*|\*[^*\s][^*]*\*|(?<!\w)_[^_]+_(?!\w)|https?:\/\/[^\s)]+)/).filter(Boolean).map((part) => {
    if (part.startsWith("`")) return el("code", part.slice(1, -1));
    if (part.startsWith("**")) return el("strong", part.slice(2, -2));
    if (/^\*[^*]+\*$|^_[^_]+_$/.test(part)) return el("em", part.slice(1, -1));
    if (/^https?:/.test(part)) return el("a", { href: part, rel: "noopener noreferrer nofollow", target: "_blank" }, part);
    return part;
  });
}
