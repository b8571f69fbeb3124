import type { RequestHead } from "../../edge/exchange.ts";

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
