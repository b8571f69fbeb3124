import type { Browser } from "playwright-core";
import type { TestContext } from "node:test";
import { which } from "../processes.ts";
import type { Call, Counting, Outcome, Page } from "./clients.ts";

const CHROMIUM = which("chromium") ?? which("chromium-headless-shell") ?? which("google-chrome");

/** Skips a test, by name, where there is no browser. */
export const needsChromium = { skip: CHROMIUM === undefined && "chromium is not installed" };

/** Where the page's own functions are, in a browser. */
declare const page: Page;

/** An open page that makes gRPC-Web calls. */
export interface OpenPage {
  /** Its clients' calls, to their end. */
  ping(call: Call): Promise<Outcome>;
  count(call: Call, count: Counting): Promise<Outcome>;
  cancel(key: string): Promise<void>;
  /** Resolves when a call has got this text. */
  told(key: string, text: string): Promise<void>;
}

/** One Chromium for a whole file of tests; undefined where there is none. */
export async function openBrowser(t: Pick<TestContext, "after">): Promise<Browser | undefined> {
  if (CHROMIUM === undefined) return undefined;
  // Only who needs a browser pays for loading what drives it.
  const { chromium } = await import("playwright-core");
  // Containers run as root and without the privileges of a sandbox; the pages are ours.
  const browser = await chromium.launch({ executablePath: CHROMIUM, args: ["--no-sandbox"] });
  t.after(() => browser.close());
  return browser;
}

export async function openPage(browser: Browser, url: string): Promise<OpenPage> {
  const opened = await browser.newPage();
  const texts: string[] = [];
  let waiting: (() => void)[] = [];
  await opened.exposeFunction("told", (key: string, text: string) => {
    texts.push(`${key} ${text}`);
    for (const resolve of waiting.splice(0)) resolve();
  });
  const broken = new Promise<never>((_, reject) => opened.once("pageerror", reject));
  await opened.goto(url);
  await Promise.race([opened.waitForFunction(() => typeof page === "object"), broken]);
  return {
    ping: (call) => opened.evaluate((asked) => page.ping(asked), call),
    count: (call, count) => opened.evaluate(([asked, n]) => page.count(asked, n), [call, count] as const),
    cancel: (key) => opened.evaluate((cancelled) => page.cancel(cancelled), key),
    async told(key, text) {
      while (!texts.includes(`${key} ${text}`))
        await new Promise<void>((resolve) => (waiting = [...waiting, resolve]));
    },
  };
}
