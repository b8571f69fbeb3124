import type { AddressInfo } from "node:net";

/** Where a worker listens: `HOST` and `PORT`. Exits with 2 when `PORT` is no port. */
export function readListen(name: string, fallback: number): { host: string; port: number } {
  if (process.argv.includes("--help") || process.argv.includes("-h")) {
    process.stdout.write(
      `Usage: [HOST=127.0.0.1] [PORT=${fallback}] node services/${name}/main.ts\n\nThe example ${name} worker alone. SIGTERM lets running work finish.\n`,
    );
    process.exit(0);
  }
  const text = process.env["PORT"] ?? String(fallback);
  const port = Number(text);
  if (!/^[0-9]{1,5}$/.test(text) || port > 65_535) {
    process.stderr.write(`PORT must be a whole number from 0 to 65535, not ${JSON.stringify(text)}.\n`);
    process.exit(2);
  }
  return { host: process.env["HOST"] ?? "127.0.0.1", port };
}

/** Says where the worker listens: a line of JSON, or a sentence with LOG_FORMAT=pretty. */
export function listening(name: string, address: AddressInfo | string | null): void {
  const at = typeof address === "object" && address !== null ? address.port : address;
  const message = `${name} worker listening`;
  const json = JSON.stringify({ severity: "INFO", message, port: at });
  process.stdout.write(process.env["LOG_FORMAT"] === "pretty" ? `${message} on ${at}\n` : `${json}\n`);
}

/** Calls `stop` at the first SIGTERM or SIGINT; a second one ends the process. */
export function onStop(stop: () => void): void {
  let asked = false;
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    process.on(signal, () => {
      if (asked) process.exit(130);
      asked = true;
      stop();
    });
  }
}
