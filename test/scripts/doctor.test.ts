// The doctor's judgement, a row each; and its command line.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { setDefaultCACertificates } from "node:tls";
import { before, describe, test } from "node:test";
import { carriageFindings, modeOf } from "../../scripts/doctor/carriage.ts";
import { readOptions } from "../../scripts/doctor/options.ts";
import { grpcRefusalOf } from "../../scripts/doctor/refusal.ts";
import { claimsOf, whyRefused } from "../../scripts/doctor/token.ts";
import { encode } from "../../scripts/token/jwt.ts";
import type { Diagnosis } from "../support/doctor.ts";
import { doctor } from "../support/doctor.ts";
import type { TestEdge } from "../support/edge.ts";
import { testEdge } from "../support/edge.ts";
import { freePort } from "../support/family.ts";
import { NEEDS_FRONTS } from "../support/fronts.ts";
import { startHaproxy } from "../support/haproxy.ts";
import { ROOT, output } from "../support/processes.ts";
import { suiteScope } from "../support/suite.ts";
import { httpWorker } from "../support/workers.ts";

const NOW = 1_800_000_000;
const token = (claims: object): string => `${encode({ alg: "RS256" })}.${encode(claims)}.c2ln`;

const clocks: [why: string, claims: object, message: string, there: number | undefined, want: RegExp][] = [
  ["expired here as well", { exp: NOW - 60 }, "the token has expired", NOW, /expired 60 s ago/],
  [
    "expired there only",
    { exp: NOW + 60 },
    "the token has expired",
    NOW + 600,
    /^Set the clocks: the server's is 10 min ahead/,
  ],
  ["expired on the way", { exp: NOW + 2 }, "the token has expired", NOW + 1, /has 2 s left/],
  ["expired, and no Date to compare", { exp: NOW + 2 }, "the token has expired", undefined, /has 2 s left/],
  [
    "future here as well",
    { iat: NOW + 90 },
    "the token was issued in the future",
    NOW,
    /whoever makes the token: it is 90 s ahead/,
  ],
  [
    "future there only",
    { iat: NOW },
    "the token was issued in the future",
    NOW - 7200,
    /^Set the clocks: the server's is 2 h behind/,
  ],
  [
    "future, and no Date to compare",
    { iat: NOW + 90 },
    "the token was issued in the future",
    undefined,
    /90 s ahead/,
  ],
  ["nbf", { iat: NOW, nbf: NOW + 300 }, "the token is not valid yet", NOW, /it is 5 min ahead/],
  ["a claim with a line break", { aud: "a\nb" }, "the token was made for another audience", NOW, /"a\\nb"/],
  ["no such claim", {}, "the token was made for another audience", NOW, /\(none\)/],
  ["words nobody knows", {}, "something else", NOW, /the edge's log/],
];
for (const [why, claims, message, there, want] of clocks) {
  test(`a refused token: ${why}`, () => {
    const sentence = whyRefused(token(claims), message, { here: NOW, there });
    assert.match(sentence, want);
    assert.doesNotMatch(sentence, /\n|eyJ/);
  });
}

const notTokens = ["", "a", "a.b", "a.b.c", "a.b.c.d", `a.${encode([])}.c`];
for (const text of notTokens) {
  test(`${JSON.stringify(text)} has no claims`, () => assert.equal(claimsOf(text), undefined));
}

const modes: [http1: string | undefined, http2: string | undefined, want: string][] = [
  ["HTTP/1.1", "HTTP/1.1", "default"],
  ["HTTP/2", "HTTP/2", "http2"],
  ["HTTP/2", undefined, "http2"],
  ["HTTP/1.1", "HTTP/2", "direct"],
  ["HTTP/1.1", undefined, "unknown"],
  [undefined, "HTTP/2", "unknown"],
  [undefined, undefined, "unknown"],
  ["HTTP/1.0", "HTTP/1.0", "unknown"],
];
for (const [http1, http2, want] of modes) {
  test(`HTTP/1.1 arriving as ${http1} and HTTP/2 as ${http2} is ${want}`, () =>
    assert.equal(modeOf(http1, http2), want));
}

const hops: [entries: number, trusted: number, want: RegExp | undefined][] = [
  [1, 1, undefined],
  [2, 1, /^Set TRUSTED_HOPS=2: as it is, workers see a proxy's address/],
  [0, 1, /^Set TRUSTED_HOPS=0: as it is, a client can choose its own address/],
];
for (const [forwardedFor, trustedHops, want] of hops) {
  test(`${forwardedFor} entries in X-Forwarded-For with TRUSTED_HOPS=${trustedHops}`, () => {
    const arrival = { forwardedFor, trustedHops, trace: [] };
    const carriage = {
      mode: "default",
      http1: undefined,
      http2: undefined,
      webSocket: undefined,
      arrival,
    } as const;
    const found = carriageFindings(carriage).find(({ check }) => check === "client address");
    assert.equal(found?.verdict, want === undefined ? "ok" : "failed");
    assert.match(found?.change ?? "", want ?? /^$/);
  });
}

test("a gRPC status with the edge's words is the edge's refusal, with others the worker's", () => {
  assert.equal(grpcRefusalOf(14, "the worker cannot be reached")?.code, "upstream_refused");
  assert.equal(grpcRefusalOf(16, "the token has expired")?.code, "unauthenticated");
  assert.equal(grpcRefusalOf(14, "come back later"), undefined);
});

const suite = suiteScope();
const ports = { tls: 0, withoutHttp2: 0, unsigned: 0 };
let edge: TestEdge;
before(async () => {
  const worker = await httpWorker(suite, (_req, res) => void res.end("worker"));
  edge = await testEdge(suite, { HTTP_UPSTREAMS: worker, DOCTOR: "on" });
  if (NEEDS_FRONTS.skip !== false) return;
  const folder = mkdtempSync("/tmp/oneport-test-");
  suite.after(() => rmSync(folder, { recursive: true }));
  const [trusted, unknown] = [certificate(folder, "trusted"), certificate(folder, "unknown")];
  setDefaultCACertificates([readFileSync(trusted, "utf8")]);
  for (const name of ["tls", "withoutHttp2", "unsigned"] as const) ports[name] = await freePort();
  await startHaproxy(
    suite,
    bind(ports.tls, trusted, "h2,http/1.1") +
      bind(ports.withoutHttp2, trusted, "http/1.1") +
      bind(ports.unsigned, unknown, "h2") +
      `backend edge\n  server edge 127.0.0.1:${edge.port}\n`,
    Object.values(ports),
  );
});

function bind(port: number, file: string, alpn: string): string {
  return `frontend f${port}\n  bind 127.0.0.1:${port} ssl crt ${file} alpn ${alpn}\n  default_backend edge\n`;
}

/** A self-signed certificate for localhost and its key, in one file. */
function certificate(folder: string, name: string): string {
  const file = `${folder}/${name}.pem`;
  const names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"];
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
  const files = ["-keyout", `${file}.key`, "-out", file];
  execFileSync("openssl", ["req", "-x509", "-days", "2", ...key, ...names, ...files], { stdio: "ignore" });
  writeFileSync(file, readFileSync(file, "utf8") + readFileSync(`${file}.key`, "utf8"));
  return file;
}

const at = (url: string): Promise<Diagnosis> => doctor(0, { url: new URL(url) });

describe("the doctor", { concurrency: true }, () => {
  test("behind TLS with HTTP/2 on offer", NEEDS_FRONTS, async () => {
    const diagnosis = await at(`https://localhost:${ports.tls}`);
    assert.equal(diagnosis.of("TLS").saw, "TLSv1.3, offers HTTP/2");
    assert.equal(diagnosis.of("HTTP/2").saw, "GET /ping: 200");
    assert.match(diagnosis.of("mode").saw, /Cloud Run's default mode/);
    assert.equal(diagnosis.of("WebSocket arrives").saw, "as upgrade, HTTP/1.1");
  });

  test("TLS without HTTP/2: there is no gRPC, and nothing that needs it is tried", NEEDS_FRONTS, async () => {
    const diagnosis = await at(`https://localhost:${ports.withoutHttp2}`);
    diagnosis.failed("TLS", /does not offer HTTP\/2/, /offer "h2" \(ALPN\)/);
    assert.deepEqual(
      diagnosis.findings.filter(({ check }) => /gRPC|HTTP\/2|CONNECT/.test(check)),
      [],
    );
    assert.equal(diagnosis.of("mode").verdict, "unknown");
  });

  test("a certificate that nobody signed", NEEDS_FRONTS, async () => {
    const diagnosis = await at(`https://localhost:${ports.unsigned}`);
    diagnosis.failed("TLS", /^self-signed certificate$/, /^Get a certificate that clients trust/);
  });

  test("a certificate for another name", NEEDS_FRONTS, async () => {
    const diagnosis = await at(`https://127.0.0.1:${ports.tls}`);
    diagnosis.failed("TLS", /127\.0\.0\.1/, /^Get a certificate for this name/);
  });

  test("https where there is no TLS", async () => {
    const diagnosis = await at(edge.url.replace("http:", "https:"));
    diagnosis.failed("TLS", /^[^\n]+$/, /^Use http:\/\/ in --server/);
  });

  test("a name that does not resolve", async () => {
    const diagnosis = await at("http://name.invalid");
    diagnosis.failed("DNS", /./, /^Check --server: the name name\.invalid/);
  });

  test("a port where nobody listens", async () => {
    const diagnosis = await at("http://127.0.0.1:1");
    diagnosis.failed("TCP", /^nothing listens there/, /^Check that the server runs/);
  });

  test("the command: a row each, what to change below it, exit 1, and no token", async () => {
    const token = "eyJhIjoxfQ.eyJzZWNyZXQiOjF9.c2lnbmF0dXJl";
    const { out, code } = await run("--server", edge.url, "--token", token);
    assert.equal(code, 1, out);
    assert.match(out, /^FAIL without a token +200, let in\n {5}→ Set AUTH_AUDIENCE/m);
    assert.match(out, /^ok {3}HTTP\/2 +GET \/ping: 200$/m);
    assert.match(out, /\n\n\d of \d+ checks failed, \d could not be known\n$/);
    assert.doesNotMatch(out, /eyJ|c2lnbmF0dXJl/);
  });

  test("the command: --json is one object", async () => {
    const { out, code } = await run("--server", "http://127.0.0.1:1", "--json");
    assert.equal(code, 1);
    assert.deepEqual(JSON.parse(out), {
      server: "http://127.0.0.1:1/",
      healthy: false,
      findings: [
        {
          check: "TCP",
          verdict: "failed",
          saw: "nothing listens there (connection refused)",
          change: "Check that the server runs and that port 1 may be reached from here.",
        },
      ],
    });
  });

  test("the command: what is wrong with its options is a sentence, exit 2", async () => {
    const { err, code } = await run("--hold", "long");
    assert.equal(code, 2);
    assert.match(err, /^--hold must be a number from 0 to 3600\n\(npm run doctor -- --help\)\n$/);
  });
});

async function run(...args: string[]): Promise<{ code: number | null; out: string; err: string }> {
  const { out, err, exited } = await output(process.execPath, [`${ROOT}scripts/doctor.ts`, ...args]);
  return { out, err, code: (await exited).code };
}

const wrong: [why: string, args: string[], says: RegExp][] = [
  ["an unknown option", ["--sever", "x"], /Unknown option '--sever'/],
  ["a server that is no URL", ["--server", "localhost:8080"], /--server must be an http/],
  ["a password in the URL", ["--server", "http://a:hidden@b"], /must not contain a name or a password/],
  [
    "a password for another protocol",
    ["--server", "ftp://a:hidden@b"],
    /must not contain a name or a password/,
  ],
  ["a token in two words", ["--token", "hidden hidden"], /--token must be one word/],
  ["an empty token", ["--run-token", ""], /--run-token must be one word/],
  ["a key and a token", ["--key", "a", "--token", "hidden"], /not both/],
  ["a key file that is not there", ["--key", "/nowhere/key.json"], /there is no file/],
  ["a time that is too long", ["--hold", "3601"], /--hold must be a number from 0 to 3600/],
  ["a path that is none", ["--ws-path", "ws"], /--ws-path must begin with \//],
];
for (const [why, args, says] of wrong) {
  test(`doctor: ${why} is refused, and not repeated`, async () => {
    await assert.rejects(readOptions(args, {}), (thrown: Error) => {
      assert.match(thrown.message, says);
      assert.doesNotMatch(thrown.message, /hidden/);
      return true;
    });
  });
}

test("doctor: without options it asks the port of this environment", async () => {
  const options = await readOptions([], { PORT: "81" });
  assert.ok(options !== "help");
  assert.equal(options.site.url.href, "http://localhost:81/");
  assert.equal(await readOptions(["--help"], {}), "help");
});
