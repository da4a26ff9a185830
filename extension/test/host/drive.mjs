// Drives the packaged extension in a real VS Code, against a service of its own: sign in, plan, approve, tick, check a file, ask for a hint.
// Not part of CI. Skips, loudly, without code-server (CODE_SERVER, or on the PATH), Chromium (CHROMIUM) or playwright-core.
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

const { CODE_SERVER = "code-server", CHROMIUM = "/usr/bin/chromium", GOALS = resolve("../.venv/bin/goals"), SHOTS = "build/host" } = process.env;
const VSIX = resolve("dist/ai-goals.vsix");
const playwright = await import("playwright-core").catch(() => skip("npm install --no-save playwright-core@1.64.1"));
for (const [path, how] of [[VSIX, "npm run package"], [CHROMIUM, "install Chromium, or set CHROMIUM"], [GOALS, "make setup, or set GOALS"]]) if (!existsSync(path)) skip(how);
if ((await finished(spawn(CODE_SERVER, ["--version"]))) !== 0) skip("test/host/install DIR, then set CODE_SERVER to what it prints");

const home = mkdtempSync(join(tmpdir(), "ai-goals-host-"));
const started = [];
let page;
try {
  const [servicePort, editorPort] = [await freePort(), await freePort()];
  const link = await until(start(GOALS, ["serve"], { PORT: String(servicePort), DATA_DIR: join(home, "data") }), /http\S+#sign-in=\S+/);
  mkdirSync(join(home, "work"));
  mkdirSync(join(home, "user/User"), { recursive: true });
  writeFileSync(join(home, "work/mean.py"), "def mean(values=[]):\n    total = 0\n    for value in values:\n        total += value\n    return total / len(values)\n");
  writeFileSync(join(home, "user/User/settings.json"), JSON.stringify({ "security.workspace.trust.enabled": false, "workbench.startupEditor": "none" }));
  const places = ["--user-data-dir", join(home, "user"), "--extensions-dir", join(home, "extensions")];
  if ((await finished(spawn(CODE_SERVER, [...places, "--install-extension", VSIX]))) !== 0) throw new Error("The package was not installed.");
  await until(start(CODE_SERVER, [...places, "--auth", "none", "--disable-telemetry", "--disable-update-check", "--bind-addr", `127.0.0.1:${editorPort}`]), /listening on/);

  const browser = await playwright.chromium.launch({ executablePath: CHROMIUM, args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking"] });
  started.push({ kill: () => browser.close() });
  page = await browser.newPage({ viewport: { width: 1400, height: 900 } });
  page.setDefaultTimeout(40_000);
  await page.goto(`http://127.0.0.1:${editorPort}/?folder=${join(home, "work")}`);

  await page.locator('.activitybar [aria-label="AI Goals"]').first().click();
  await page.getByRole("button", { name: "Sign in", exact: true }).click();
  await page.getByText("Paste the sign-in link").waitFor();
  await page.keyboard.insertText(link);
  await page.keyboard.press("Enter");
  await page.getByRole("button", { name: "Plan a goal" }).waitFor();
  await seen("signed in by the link, which also said where the service is");

  await ask("@goals /plan Learn Rust in six weeks");
  await button("Approve").waitFor();
  await seen("a plan was streamed and waits for a decision");
  await button("Approve").click();
  await said("is saved with");
  await row("Learn Rust").first().click();
  await row("Practise").waitFor();
  await seen("approved; the goal and its tasks are in the side bar");

  await row("Find two good sources").getByRole("checkbox").click();
  await row("Learn Rust").filter({ hasText: "1/" }).first().waitFor();
  await seen("a ticked task counts");

  await page.keyboard.press("Control+p");
  await page.keyboard.type("mean.py", { delay: 30 });
  await page.locator(".quick-input-list .monaco-list-row", { hasText: "mean.py" }).first().waitFor();
  await page.keyboard.press("Enter");
  await page.locator(".tab", { hasText: "mean.py" }).waitFor();
  await page.locator('.editor-actions [aria-label="Check This File"]').click();
  await page.locator(".quick-input-list .monaco-list-row", { hasText: "Practise" }).click();
  await page.locator(".squiggly-error").first().waitFor();
  await seen("a checked file shows its findings");

  await page.locator(".view-line", { hasText: "def mean" }).click();
  await page.keyboard.press("Control+.");
  await page.getByText("Ask @goals for a hint").first().waitFor();
  await page.keyboard.press("Enter");
  await said("The place to look at");
  await seen("the light bulb asks for a hint");

  await ask("@goals /next ");
  await said("Best next step");
  await seen("the next step is suggested");
} catch (error) {
  console.error(`FAILED: ${error.message}`);
  if (page) await seen("failed");
  process.exitCode = 1;
} finally {
  for (const { kill } of started.reverse()) await kill();
  rmSync(home, { recursive: true, force: true, maxRetries: 5 });
}

function skip(how) {
  console.error(`SKIPPED, nothing was driven. First: ${how}`);
  process.exit(0);
}

async function seen(what) {
  mkdirSync(SHOTS, { recursive: true });
  const shot = join(SHOTS, `${what.replace(/\W+/g, "-")}.png`);
  await page.screenshot({ path: shot });
  console.log(`${what}: ${shot}`);
}

async function ask(words) {
  const box = page.locator(".interactive-input-part:visible .monaco-editor").last();
  await box.click();
  await page.keyboard.press("Control+a");
  await page.keyboard.type(words, { delay: 20 });
  await page.keyboard.press("Escape"); // the list of completions would take the Enter
  await page.keyboard.press("Enter");
}

function said(words) {
  return page.locator(".interactive-response", { hasText: words }).last().waitFor();
}

function button(title) {
  return page.locator(".interactive-response .monaco-button:not(.disabled)", { hasText: title }).last();
}

function row(title) {
  return page.locator('.pane-body [role="treeitem"]', { hasText: title });
}

function start(command, args, more = {}) {
  const child = spawn(command, args, { env: { ...process.env, ...more } });
  started.push({ kill: () => (child.kill(), finished(child)) });
  return child;
}

/** What `child` prints that matches; raises when it ends first. */
function until(child, pattern) {
  let text = "";
  return new Promise((done, fail) => {
    const read = (piece) => {
      text += piece;
      const found = pattern.exec(text);
      if (found) done(found[0]);
    };
    child.stdout.on("data", read);
    child.stderr.on("data", read);
    child.on("error", fail).on("exit", () => fail(new Error(`${child.spawnfile} ended: ${text}`)));
  });
}

function finished(child) {
  return new Promise((done) => (child.exitCode === null ? child.on("exit", done).on("error", () => done(null)) : done(child.exitCode)));
}

async function freePort() {
  const server = createServer();
  await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
  const { port } = server.address();
  await new Promise((closed) => server.close(closed));
  return port;
}
