import type { HeaderList, RequestHead } from "../../edge/exchange.ts";

/** A plain request, to be varied. */
export const GET: RequestHead = {
  version: "1.1",
  method: "GET",
  scheme: "http",
  authority: "example.com",
  path: "/",
  protocol: undefined,
  headers: [],
  hasBody: false,
};

/** Fields as lines, one a member: easier on the eye than a flat list. */
export function lines(headers: HeaderList): string[] {
  return headers.flatMap((name, at) => (at % 2 === 0 ? [`${name}: ${headers[at + 1]}`] : []));
}

/** The flat list of such lines. */
export function fields(...all: readonly string[]): string[] {
  return all.flatMap((line) => [line.slice(0, line.indexOf(": ")), line.slice(line.indexOf(": ") + 2)]);
}
