import assert from "node:assert/strict";
import { globSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { test } from "node:test";

const EDGE = new URL("../edge/", import.meta.url).pathname;

/** Lower may not import upper; same rank may import each other. The first prefix that fits counts. */
const RANK: readonly (readonly [prefix: string, rank: number])[] = [
  ["errors.ts", 0],
  ["exchange.ts", 0],
  ["settings/parse.ts", 0],
  ["port/sniff.ts", 0],
  ["limits.ts", 0],
  ["high-water.ts", 0],
  ["port/progress.ts", 0],
  ["recall.ts", 0],
  ["waiting.ts", 0],
  ["port/open-files.ts", 0],
  ["observe/outcomes.ts", 1],
  ["observe/trace.ts", 2],
  ["observe/families.ts", 2],
  ["observe/process-families.ts", 3],
  ["observe/prometheus.ts", 3],
  ["observe/log-output.ts", 1],
  ["observe/line-buffer.ts", 0],
  ["observe/exchange-log.ts", 4],
  ["port/read-buffer.ts", 0],
  ["port/socket-end.ts", 0],
  ["port/copies.ts", 0],
  ["port/peer.ts", 1],
  ["headers.ts", 1],
  ["proxy/deadline.ts", 1],
  ["refusal.ts", 1],
  ["settings/config.ts", 1],
  ["settings/health-check.ts", 1],
  ["observe/log.ts", 1],
  ["lean.ts", 0],
  ["port/listen.ts", 1],
  ["within.ts", 1],
  ["message/", 1],
  ["cors.ts", 2],
  ["arrival.ts", 2],
  ["route.ts", 2],
  ["origin.ts", 2],
  ["settings/explain.ts", 2],
  ["settings/upstreams-file.ts", 2],
  ["lifecycle.ts", 2],
  ["held.ts", 2],
  ["auth/", 3],
  ["http1/", 3],
  ["http2/", 3],
  ["grpc-web/", 3],
  ["observe/metrics.ts", 2],
  ["upstream/", 4],
  ["proxy/", 5],
  ["admin/admin.ts", 5],
  ["port/server.ts", 5],
  ["carry.ts", 6],
  ["admin/endpoint-view.ts", 6],
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
  ["pino", ["observe/log.ts"]],
  ["prom-client", ["observe/prometheus.ts"]],
  ["node:http", ["admin/admin.ts"]],
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
