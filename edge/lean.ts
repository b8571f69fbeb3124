/** What `node:http` offers of undici, Node's HTTP client. */
const UNDICI = ["WebSocket", "CloseEvent", "MessageEvent"] as const;

/**
 * Keeps undici from being loaded with `node:http`: about 25 ms of a start, for three names that nobody here uses.
 * An `import` of a built-in module reads every name that it exports, and these three load undici when they are read.
 * To be called before the first import of `node:http`; `fetch` loads undici when it is needed, as ever.
 */
export function withoutUndici(): void {
  const http: Record<string, unknown> = process.getBuiltinModule("node:http");
  for (const name of UNDICI) Reflect.deleteProperty(http, name);
}
