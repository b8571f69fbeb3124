// The console page in a real browser. It is found and used by role and name, as a screen reader and a keyboard do.
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { before, test } from "node:test";
import type { Browser, Locator, Page } from "playwright-core";
import { AUDIENCE, EMAIL, OPTIONS, newIssuer } from "../support/auth.ts";
import { needsChromium, openBrowser } from "../support/browser/chromium.ts";
import { Authority } from "../support/certificates.ts";
import { haproxy, startHttp2Front } from "../support/haproxy.ts";
import { ROOT } from "../support/processes.ts";
import type { Stack } from "../support/stack.ts";
import { startStack } from "../support/stack.ts";
import { start } from "../support/start.ts";
import { suiteScope } from "../support/suite.ts";

const needsTls = {
  skip: needsChromium.skip || (haproxy === undefined && "haproxy is not installed"),
};

let browser: Browser;
let stack: Stack;
const suite = suiteScope();
before(async () => {
  const opened = await openBrowser(suite);
  if (opened === undefined) return;
  browser = opened;
  stack = await startStack(suite);
});

type Protocol = "HTTP" | "gRPC-Web" | "WebSocket";

/** The page, and whatever it complained of. */
class Console {
  readonly page: Page;
  readonly complaints: string[] = [];

  constructor(page: Page) {
    this.page = page;
    page.on("pageerror", ({ message }) => this.complaints.push(message));
    page.on("console", (said) => {
      // A request that is refused is an error to the browser's console, whatever the page makes of it.
      if (said.type() === "error" && !said.text().includes("Failed to load resource"))
        this.complaints.push(said.text());
    });
  }

  panel(name: Protocol): Locator {
    return this.page.getByRole("region", { name });
  }

  async press(name: Protocol, button: string): Promise<void> {
    await this.panel(name).getByRole("button", { name: button, exact: true }).click();
  }

  /** Resolves when the panel's result is this. */
  async says(name: Protocol, text: string | RegExp): Promise<void> {
    await this.panel(name).getByRole("status").filter({ hasText: text }).waitFor();
  }

  /** Resolves when the panel's plot says this of itself. */
  async plots(name: Protocol, text: RegExp): Promise<void> {
    await this.panel(name).getByRole("figure").locator("figcaption").filter({ hasText: text }).waitFor();
  }

  async reads(name: Protocol, what: string): Promise<string> {
    const row = this.panel(name).locator("dl > div").filter({ hasText: what });
    return (await row.locator("dd").textContent()) ?? "";
  }

  async keep(name: string): Promise<void> {
    const folder = join(ROOT, "test-output");
    mkdirSync(folder, { recursive: true });
    await this.page.screenshot({ path: join(folder, `console-${name}.png`), fullPage: true });
  }
}

async function open(t: TestContext, url: string, options: object = {}): Promise<Console> {
  const context = await browser.newContext(options);
  t.after(() => context.close());
  const page = await context.newPage();
  page.setDefaultTimeout(20_000);
  const opened = new Console(page);
  await page.goto(url);
  return opened;
}

/** Sends one request on each panel. */
async function sendEach(at: Console): Promise<void> {
  await at.press("HTTP", "Send");
  await at.press("gRPC-Web", "Ping");
  await at.press("WebSocket", "Connect");
  await at.says("WebSocket", "connected");
  await at.press("WebSocket", "Send");
}

async function allAnswer(at: Console): Promise<void> {
  await at.says("HTTP", "200: hello");
  await at.says("gRPC-Web", /^pong$/);
  await at.says("WebSocket", "pong: hello");
}

test("every button works, and each panel says how its request was carried", needsChromium, async (t) => {
  const at = await open(t, stack.url);
  await sendEach(at);
  await allAnswer(at);
  for (const name of ["HTTP", "gRPC-Web", "WebSocket"] as const) {
    assert.equal(await at.reads(name, "Edge received"), "HTTP/1.1", name);
    assert.match(await at.reads(name, "Answered by"), /^(http|grpc|websocket) \d+$/, name);
    await at.plots(name, /^last [\d.]+ ms, median [\d.]+ ms, worst [\d.]+ ms, 1 reply$/);
  }
  assert.equal(await at.reads("HTTP", "Browser to edge"), "http/1.1");

  await at.panel("HTTP").getByLabel("Body").fill("by Enter");
  await at.panel("HTTP").getByLabel("Body").press("Enter");
  await at.says("HTTP", "200: by Enter");
  await at.press("HTTP", "Server-sent events");
  await at.says("HTTP", /^event \d+$/);
  await at.press("HTTP", "Server-sent events");
  await at.says("HTTP", "events: stopped");

  await at.panel("gRPC-Web").getByLabel("Messages").fill("3");
  await at.panel("gRPC-Web").getByLabel("Apart, ms").fill("0");
  await at.press("gRPC-Web", "Stream");
  await at.says("gRPC-Web", "stream: all 3 messages");
  await at.panel("gRPC-Web").getByLabel("Messages").fill("1000");
  await at.panel("gRPC-Web").getByLabel("Apart, ms").fill("50");
  await at.press("gRPC-Web", "Stream");
  await at.says("gRPC-Web", /^message [1-9]\d*$/);
  await at.press("gRPC-Web", "Stream");
  await at.says("gRPC-Web", /^stream: stopped after \d+ messages$/);
  await at.panel("gRPC-Web").getByLabel("Messages").fill("0");
  await at.press("gRPC-Web", "Stream");
  await at.says("gRPC-Web", /status 3: count, interval_ms or size is out of range/);

  for (const name of ["HTTP", "gRPC-Web", "WebSocket"] as const) {
    await at.press(name, "Repeat");
    await at.plots(name, / [3-9] replies/);
    await at.press(name, "Repeat");
  }
  await at.press("WebSocket", "Connect");
  await at.says("WebSocket", "closed with 1000");
  assert.deepEqual(at.complaints, []);
  await at.keep("light");
});

test("with authentication the token opens all three, and nothing works without", needsChromium, async (t) => {
  const issuer = await newIssuer(t);
  const shut = await startStack(t, {
    AUTH_AUDIENCE: AUDIENCE,
    AUTH_SERVICE_ACCOUNTS: EMAIL,
    AUTH_CERTS_URL: issuer.certsUrl,
    AUTH_ISSUERS: issuer.issuer,
    AUTH_PUBLIC_PATHS: "/ping,/",
  });
  const at = await open(t, shut.url);
  await at.press("HTTP", "Send");
  await at.says("HTTP", /^401 /);
  await at.press("HTTP", "Server-sent events");
  await at.says("HTTP", "401 for the events");
  await at.press("gRPC-Web", "Ping");
  await at.says("gRPC-Web", /^status 16/);
  await at.press("gRPC-Web", "Stream");
  await at.says("gRPC-Web", /status 16/);
  await at.press("WebSocket", "Connect");
  await at.says("WebSocket", "closed with 1006");
  await at.keep("refused");
  await at.page.getByLabel("ID token").fill(issuer.mint(OPTIONS));
  await sendEach(at);
  await allAnswer(at);
  await at.page.getByRole("button", { name: "Forget" }).click();
  await at.press("gRPC-Web", "Ping");
  await at.says("gRPC-Web", /^status 16/);
  assert.deepEqual(
    at.complaints.filter((text) => !text.includes("WebSocket")),
    [],
  );
});

test("a worker that is killed shows as failures, and its successor as answers", needsChromium, async (t) => {
  const { program, port } = await start(t, { LOG_FORMAT: "json" });
  await program.says(/"message":"ready"/);
  const at = await open(t, `http://127.0.0.1:${port}`);
  await sendEach(at);
  await allAnswer(at);
  const killed: string[] = [];
  for (const name of ["HTTP", "gRPC-Web", "WebSocket"] as const) {
    const worker = await at.reads(name, "Answered by");
    killed.push(worker);
    await at.press(name, "Repeat");
    process.kill(Number(worker.split(" ")[1]), "SIGKILL");
    await at.plots(name, /[1-9]\d* failed/);
    const row = at.panel(name).locator("dl > div").filter({ hasText: "Answered by" });
    await row.filter({ hasNotText: worker }).waitFor();
  }
  await at.keep("killed");
  for (const [i, name] of (["HTTP", "gRPC-Web", "WebSocket"] as const).entries())
    assert.notEqual(await at.reads(name, "Answered by"), killed[i]);
});

test("by HTTP/2 all the way, TLS ended by HAProxy: WebSockets too", needsTls, async (t) => {
  const port = await startTls(t, stack.port);
  const at = await open(t, `https://127.0.0.1:${port}`, { ignoreHTTPSErrors: true });
  await sendEach(at);
  await allAnswer(at);
  for (const name of ["HTTP", "gRPC-Web", "WebSocket"] as const)
    assert.equal(await at.reads(name, "Edge received"), "HTTP/2.0", name);
  assert.equal(await at.reads("HTTP", "Browser to edge"), "h2");
  await at.press("gRPC-Web", "Stream");
  await at.says("gRPC-Web", /^message [1-9]\d*$/);
  assert.deepEqual(at.complaints, []);
});

/** HAProxy with a certificate: HTTP/2 in, HTTP/2 to the edge. */
async function startTls(t: TestContext, edge: number): Promise<number> {
  const folder = mkdtempSync("/tmp/oneport-test-");
  t.after(() => rmSync(folder, { recursive: true }));
  const { key, cert } = new Authority().issue({ names: ["127.0.0.1"] });
  writeFileSync(`${folder}/site.pem`, key + cert);
  return startHttp2Front(t, edge, `ssl crt ${folder}/site.pem alpn h2`);
}

test("keyboard alone: every control is reached in reading order and works", needsChromium, async (t) => {
  const at = await open(t, stack.url);
  const reached: string[] = [];
  const controls = await at.page.locator("input:enabled, button:enabled, summary").count();
  for (let i = 0; i < controls; i++) {
    await at.page.keyboard.press("Tab");
    reached.push(
      await at.page.evaluate<string>(
        "(document.activeElement.labels?.[0] ?? document.activeElement).textContent.trim()",
      ),
    );
  }
  const panels = [
    ["Send", "Repeat", "Server-sent events", "Body", "Log"],
    ["Ping", "Repeat", "Stream", "Messages", "Apart, ms", "Log"],
    // The others are disabled until it is connected.
    ["Connect", "Message", "Log"],
  ];
  assert.deepEqual(reached, ["ID token", "Forget", ...panels.flat()]);
  await at.panel("WebSocket").getByRole("button", { name: "Connect" }).focus();
  await at.page.keyboard.press("Space");
  await at.says("WebSocket", "connected");
});

test("fits a phone, and follows light and dark", needsChromium, async (t) => {
  const at = await open(t, stack.url, { viewport: { width: 320, height: 640 }, colorScheme: "light" });
  const paper = (): Promise<string> =>
    at.page.evaluate<string>("getComputedStyle(document.body).backgroundColor");
  assert.equal(await at.page.evaluate("document.documentElement.scrollWidth"), 320);
  const light = await paper();
  await at.page.emulateMedia({ colorScheme: "dark" });
  assert.notEqual(await paper(), light);
  await at.keep("phone-dark");
});

test("whoever takes no HTML gets the list, and the page asks for nothing else", needsChromium, async (t) => {
  const list = (await (await fetch(stack.url)).json()) as { routes: object };
  assert.ok("GET /ping" in list.routes);
  const asked: string[] = [];
  const context = await browser.newContext();
  t.after(() => context.close());
  const page = await context.newPage();
  page.on("request", (request) => asked.push(new URL(request.url()).pathname));
  await page.goto(stack.url, { waitUntil: "networkidle" });
  assert.deepEqual(asked, ["/"]);
});
