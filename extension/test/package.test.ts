// The packaged extension: everything its manifest names is in it, and nothing that has no business there.
import assert from "node:assert/strict";
import { existsSync, readFileSync, statSync } from "node:fs";
import { test } from "node:test";
import { inflateRawSync } from "node:zlib";

const VSIX = "dist/ai-goals.vsix";

/** The files of a zip, by name. */
function unzip(zip: Buffer): Map<string, Buffer> {
  const files = new Map<string, Buffer>();
  let at = zip.readUInt32LE(zip.lastIndexOf("PK\x05\x06") + 16);
  for (; zip.readUInt32LE(at) === 0x02014b50; at += 46 + zip.readUInt16LE(at + 28) + zip.readUInt16LE(at + 30) + zip.readUInt16LE(at + 32)) {
    const name = zip.toString("utf8", at + 46, at + 46 + zip.readUInt16LE(at + 28));
    const local = zip.readUInt32LE(at + 42);
    const start = local + 30 + zip.readUInt16LE(local + 26) + zip.readUInt16LE(local + 28);
    const packed = zip.subarray(start, start + zip.readUInt32LE(at + 20));
    files.set(name, zip.readUInt16LE(at + 10) === 0 ? packed : inflateRawSync(packed));
  }
  return files;
}

test("the package carries what its manifest names, and nothing else", { skip: existsSync(VSIX) ? false : "run `npm run package` first" }, () => {
  const files = unzip(readFileSync(VSIX));
  const text = (name: string): string => files.get(name)?.toString() ?? assert.fail(`${name} is missing`);
  const manifest = text("extension/package.json");
  const { main, version, l10n, name, publisher } = JSON.parse(manifest) as Record<string, string>;
  const named = [main, `${l10n}/bundle.l10n.es.json`, "package.nls.json", "package.nls.es.json", ...[...manifest.matchAll(/"(media\/[^"]+)"/g)].map(([, path]) => path)];
  for (const path of named) assert.ok(text(`extension/${path!.replace("./", "")}`), path);
  assert.match(text("extension/LICENSE.txt"), /Apache License/);
  assert.match(text("extension/readme.md"), /code --install-extension/);
  for (const part of [`Id="${name}"`, `Version="${version}"`, `Publisher="${publisher}"`, "icon.png"]) assert.ok(text("extension.vsixmanifest").includes(part), part);
  assert.equal(text("extension/dist/extension.js"), readFileSync("dist/extension.js", "utf8"), "built since: run `npm run package`");

  const places = /^(\[Content_Types\]\.xml|extension\.vsixmanifest|extension\/(package(\.nls(\.es)?)?\.json|LICENSE\.txt|readme\.md|(dist\/extension\.js|l10n\/[\w.]+\.json|media\/\w+\.(svg|png))))$/;
  assert.deepEqual([...files.keys()].filter((path) => !places.test(path)), []);
  const secrets = /gsl_\w{8}|eyJ[\w-]{10,}\.|-----BEGIN|\bsk-\w{8}|\bnpm_\w{20}|\/work\/|\/home\//;
  for (const path of files.keys()) assert.doesNotMatch(text(path), secrets, path);
  assert.ok(statSync(VSIX).size < 64 * 1024, "it stays small");
});
