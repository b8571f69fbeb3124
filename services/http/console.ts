import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";

/** In the order in which they need one another. */
const SCRIPTS = ["grpc-web.js", "plot.js", "panel.js", "http.js", "grpc.js", "websocket.js", "main.js"];

export interface Console {
  /** One document that asks for nothing else, so that one public path is enough to show it. */
  readonly html: string;
  /** Nothing but what is in it may run, and it may talk to its own origin only. */
  readonly contentSecurityPolicy: string;
}

/** The page at `/`, put together from console/. */
export function createConsole(): Console {
  const style = read("style.css");
  // Modules of one file each, for whoever reads and tests them; in the page they share a scope.
  const script = SCRIPTS.map(read)
    .join("\n")
    .replaceAll(/^import .*\n/gm, "")
    .replaceAll(/^export /gm, "");
  const html = read("page.html")
    .replace("<style></style>", () => `<style>${style}</style>`)
    .replace('<script type="module"></script>', () => `<script type="module">${script}</script>`);
  const contentSecurityPolicy = [
    "default-src 'none'",
    `style-src '${hash(style)}'`,
    `script-src '${hash(script)}'`,
    "connect-src 'self'",
    "img-src data:",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join("; ");
  return { html, contentSecurityPolicy };
}

function read(name: string): string {
  return readFileSync(new URL(`console/${name}`, import.meta.url), "utf8");
}

function hash(text: string): string {
  return `sha256-${createHash("sha256").update(text).digest("base64")}`;
}
