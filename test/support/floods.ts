import { fields, frame, headers } from "./frames.ts";

/** What makes a request a call. */
export const GRPC: [string, string][] = [["content-type", "application/grpc"]];

const ACK = 1;
const PADDED = 8;

/** So many frames in one piece. */
export const times = (count: number, make: (i: number) => Buffer): Buffer =>
  Buffer.concat(Array.from({ length: count }, (_, i) => make(i)));

/** What floods a connection, by the attack's name: the limit that it meets, and what is sent behind the preface. */
export const FLOODS: readonly (readonly [why: string, limit: string, frames: () => Buffer])[] = [
  [
    "rapid reset (CVE-2023-44487)",
    "resets",
    () =>
      times(1500, (i) =>
        Buffer.concat([
          headers(2 * i + 1, "POST", "/x", GRPC, false),
          frame("RST_STREAM", 0, 2 * i + 1, Buffer.from([0, 0, 0, 8])),
        ]),
      ),
  ],
  [
    "rapid reset of what HTTP/1.1 workers get",
    "resets",
    () =>
      times(1500, (i) =>
        Buffer.concat([
          headers(2 * i + 1, "GET", "/ping"),
          frame("RST_STREAM", 0, 2 * i + 1, Buffer.from([0, 0, 0, 8])),
        ]),
      ),
  ],
  [
    "resets that the server is made to send (MadeYouReset, CVE-2025-8671)",
    "resets",
    () =>
      times(1500, (i) =>
        Buffer.concat([
          headers(2 * i + 1, "POST", "/x", GRPC, false),
          frame("WINDOW_UPDATE", 0, 2 * i + 1, Buffer.alloc(4)),
        ]),
      ),
  ],
  [
    "requests that are malformed on purpose",
    "resets",
    () => times(1500, (i) => frame("HEADERS", 5, 2 * i + 1, fields(["Upper", "x"]))),
  ],
  ["PING flood (CVE-2019-9512)", "answers", () => times(1500, () => frame("PING", 0, 0, Buffer.alloc(8)))],
  ["SETTINGS flood (CVE-2019-9515)", "answers", () => times(1500, () => frame("SETTINGS", 0, 0))],
  [
    "empty DATA flood (CVE-2019-9518)",
    "empty",
    () => Buffer.concat([headers(1, "POST", "/x", GRPC, false), times(1500, () => frame("DATA", 0, 1))]),
  ],
  [
    "PRIORITY flood",
    "empty",
    () => times(1500, () => frame("PRIORITY", 0, 1, Buffer.from([0, 0, 0, 0, 16]))),
  ],
  [
    "a flood of DATA that is all padding",
    "empty",
    () =>
      Buffer.concat([
        headers(1, "POST", "/x", GRPC, false),
        times(1500, () => frame("DATA", PADDED, 1, Buffer.from([0]))),
      ]),
  ],
  ["a flood of SETTINGS ACKs", "empty", () => times(1500, () => frame("SETTINGS", ACK, 0))],
  ["a flood of PING ACKs", "empty", () => times(1500, () => frame("PING", ACK, 0, Buffer.alloc(8)))],
  [
    "a GOAWAY flood",
    "empty",
    () =>
      Buffer.concat([
        headers(1, "POST", "/x", GRPC, false),
        times(1500, () => frame("GOAWAY", 0, 0, Buffer.alloc(8))),
      ]),
  ],
  [
    "WINDOW_UPDATE flood",
    "updates",
    () => times(25_000, () => frame("WINDOW_UPDATE", 0, 0, Buffer.from([0, 0, 0, 1]))),
  ],
  [
    "CONTINUATION flood (CVE-2024-27316)",
    "continuations",
    () =>
      Buffer.concat([
        frame("HEADERS", 0, 1, fields([":method", "GET"])),
        times(2000, () => frame("CONTINUATION", 0, 1, fields(["x", "y"]))),
      ]),
  ],
  [
    "CONTINUATION flood of large frames",
    "continuations",
    () =>
      Buffer.concat([
        frame("HEADERS", 0, 1, fields([":method", "GET"])),
        times(20, () => frame("CONTINUATION", 0, 1, Buffer.alloc(16_000))),
      ]),
  ],
];
