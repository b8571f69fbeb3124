import assert from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { test } from "node:test";

const EDGE = new URL("../edge/", import.meta.url).pathname;

/** Lower may not import upper; same rank may import each other. The first prefix that fits counts. */
const RANK: readonly (readonly [prefix: string, rank: number])[] = [
  ["errors.ts", 0],
  ["exchange.ts", 0],
  ["parse.ts", 0],
  ["sniff.ts", 0],
  ["limits.ts", 0],
  ["high-water.ts", 0],
  ["progress.ts", 0],
  ["recall.ts", 0],
  ["open-files.ts", 0],
  ["outcomes.ts", 1],
  ["trace.ts", 2],
  ["families.ts", 2],
  ["process-families.ts", 3],
  ["prometheus.ts", 3],
  ["log-output.ts", 1],
  ["line-buffer.ts", 0],
  ["exchange-log.ts", 4],
  ["socket-end.ts", 0],
  ["peer.ts", 1],
  ["headers.ts", 1],
  ["deadline.ts", 1],
  ["refusal.ts", 1],
  ["config.ts", 1],
  ["health-check.ts", 1],
  ["log.ts", 1],
  ["lean.ts", 0],
  ["listen.ts", 1],
  ["within.ts", 1],
  ["message/", 1],
  ["cors.ts", 2],
  ["arrival.ts", 2],
  ["route.ts", 2],
  ["origin.ts", 2],
  ["explain.ts", 2],
  ["upstreams-file.ts", 2],
  ["lifecycle.ts", 2],
  ["auth/", 3],
  ["http1/", 3],
  ["http2/", 3],
  ["grpc-web/", 3],
  ["metrics.ts", 2],
  ["upstream/", 4],
  ["proxy/", 5],
  ["admin.ts", 5],
  ["server.ts", 5],
  ["carry.ts", 6],
  ["endpoint-view.ts", 6],
  ["handle.ts", 7],
  ["edge.ts", 8],
  ["processes/", 9],
  ["main.ts", 10],
];

const files = globSync("**/*.ts", { cwd: EDGE }).filter((file) => !file.endsWith(".d.ts"));

function rank(file: string): number {
  const row = RANK.find(([prefix]) => file.startsWith(prefix));
  assert.ok(row, `${file} has no rank: add it to test/layers.test.ts`);
  return row[1];
}

function imports(file: string): string[] {
  const source = readFileSync(join(EDGE, file), "utf8");
  return [...source.matchAll(/(?:from|import\()\s*"([^"]+)"/g)].map((match) => match[1] ?? "");
}

for (const file of files) {
  test(`${file} imports only what is below it`, () => {
    for (const target of imports(file).filter((name) => name.startsWith("."))) {
      const path = relative(EDGE, join(EDGE, dirname(file), target));
      assert.ok(!path.startsWith(".."), `${file} imports ${path}, which is outside the edge`);
      assert.ok(rank(path) <= rank(file), `${file} (${rank(file)}) imports ${path} (${rank(path)})`);
    }
  });
}

const ONLY: readonly (readonly [module: string, files: readonly string[]])[] = [
  ["google-auth-library", ["auth/google.ts", "auth/id-token.ts"]],
  ["http2-proxy", ["proxy/http.ts", "proxy/websocket.ts"]],
  ["pino", ["log.ts"]],
  ["prom-client", ["prometheus.ts"]],
  ["node:http", ["admin.ts"]],
  ["node:http2", []],
];

for (const [module, allowed] of ONLY) {
  test(`${module} is imported by ${allowed.join(", ") || "nobody"} alone`, () => {
    const users = files.filter((file) => imports(file).includes(module)).toSorted();
    assert.deepEqual(users, [...allowed].toSorted());
  });
}

const PURE: readonly (readonly [folder: string, names: readonly string[]])[] = [
  [
    "message",
    ["body-reader", "chunked", "faults", "field-block", "field-lines", "fields", "known-heads", "token"],
  ],
  ["upstream/http1", ["framing", "garbage", "reply-parser", "request-head"]],
  ["grpc-web", ["base64", "credit", "head", "messages", "trailers"]],
  [
    "http1",
    ["date", "malformed", "reasons", "reply-head", "request-framing", "request-line", "request-parser"],
  ],
];

for (const [folder, names] of PURE) {
  test(`what reads messages and writes heads in ${folder}/ does no I/O`, () => {
    const users = names.filter((name) =>
      imports(`${folder}/${name}.ts`).some((from) => from.startsWith("node:")),
    );
    assert.deepEqual(users, []);
  });
}

test("only errors.ts knows Node's error codes", () => {
  const users = files.filter((file) =>
    /"(E(CONN|ADDR|PIPE|NO|AI_|HOST|NET|ACCES)|HPE_|ERR_)/.test(readFileSync(join(EDGE, file), "utf8")),
  );
  assert.deepEqual(users, ["errors.ts"]);
});
