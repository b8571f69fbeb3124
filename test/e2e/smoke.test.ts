import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { after, before, test } from "node:test";
import type { TestContext } from "node:test";
import { gaxios } from "google-auth-library";
import { tokenFromKey } from "../../scripts/smoke/key.ts";
import { Issuer } from "../../scripts/token/issuer.ts";
import { ROOT, output, runScript } from "../support/processes.ts";
import type { Stack } from "../support/stack.ts";
import { startStack } from "../support/stack.ts";
import { suiteScope } from "../support/suite.ts";
import { httpWorker, readAll } from "../support/workers.ts";

let issuer: Issuer;
let open: Stack;
let locked: Stack;
const suite = suiteScope();
before(async () => {
  issuer = new Issuer();
  await issuer.listen();
  open = await startStack(suite);
  locked = await startStack(suite, {
    AUTH_AUDIENCE: "x",
    AUTH_SERVICE_ACCOUNTS: "a@b.c",
    AUTH_CERTS_URL: issuer.certsUrl,
    AUTH_ISSUERS: issuer.issuer,
    AUTH_PUBLIC_PATHS: "/none",
  });
});
after(async () => {
  await issuer.close();
});

const smoke = (...args: string[]): ReturnType<typeof output> =>
  output(process.execPath, [`${ROOT}scripts/smoke.ts`, ...args]);

test("smoke: a row for each of ten ways, exit 0", async () => {
  const { out, exited } = await smoke("--server", open.url);
  assert.equal((await exited).code, 0, out);
  assert.equal(out.match(/^ok {3}.* ms$/gm)?.length, 10);
  for (const name of [
    "HTTP/1.1",
    "HTTP/2",
    "gRPC unary",
    "gRPC server streaming",
    "gRPC client streaming",
    "gRPC bidi streaming",
    "gRPC health",
    "gRPC-Web",
    "WebSocket over HTTP/1.1",
    "WebSocket over HTTP/2",
  ]) {
    assert.match(out, new RegExp(`ok   ${name} `));
  }
});

test("smoke: with a token through a locked door", async () => {
  const { out, exited } = await smoke(
    "--server",
    locked.url,
    "--token",
    issuer.mint({ audience: "x", email: "a@b.c" }),
  );
  assert.equal((await exited).code, 0, out);
});

test("smoke: without a token at a locked door every row fails and says why, exit 1", async () => {
  const { out, exited } = await smoke("--server", locked.url);
  assert.equal((await exited).code, 1);
  assert.equal(out.match(/^FAIL .*the request carries no ID token/gm)?.length, 10, out);
});

test("smoke: one group only", async () => {
  const { out, exited } = await smoke("--server", open.url, "ws");
  assert.equal((await exited).code, 0);
  assert.match(out, /all 2 passed/);
});

test("a key becomes an ID token: its JWT is exchanged through google-auth-library", async (t) => {
  const asked: URLSearchParams[] = [];
  const endpoint = await httpWorker(t, async (req, res) => {
    asked.push(new URLSearchParams((await readAll(req)).toString()));
    const body = JSON.stringify({ id_token: issuer.mint({ audience: "x", email: "a@b.c" }) });
    res.writeHead(200, { "content-type": "application/json" }).end(body);
  });
  const keyFile = writeKey(t);
  const transporter = new gaxios.Gaxios({
    adapter: (options, next) => next({ ...options, url: new URL(endpoint) }),
  });
  const token = await tokenFromKey(keyFile, "x", { transporter });
  const { out, exited } = await smoke("--server", locked.url, "--token", token, "http");
  assert.equal((await exited).code, 0, out);
  const [, claims = ""] = (asked[0]?.get("assertion") ?? "").split(".");
  const { target_audience, iss } = JSON.parse(Buffer.from(claims, "base64url").toString()) as Record<
    string,
    string
  >;
  assert.deepEqual([target_audience, iss], ["x", "a@b.c"]);
});

test("smoke --key with a key that Google does not take: a sentence without the key, exit 2", async (t) => {
  const { err, exited } = await output(
    process.execPath,
    [`${ROOT}scripts/smoke.ts`, "--server", locked.url, "--key", writeKey(t), "--audience", "x"],
    {
      // Nothing listens there: the exchange fails at once, whether or not this machine reaches Google.
      HTTPS_PROXY: "http://127.0.0.1:9",
    },
  );
  assert.equal((await exited).code, 2);
  assert.match(err, /--key: no ID token could be had/);
  assert.doesNotMatch(err, /PRIVATE KEY|eyJ/);
});

/** A key.json of a service account nobody knows. */
function writeKey(t: TestContext): string {
  const folder = mkdtempSync("/tmp/oneport-test-");
  t.after(() => rmSync(folder, { recursive: true }));
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const key = {
    type: "service_account",
    private_key_id: "k",
    private_key: privateKey.export({ type: "pkcs8", format: "pem" }),
    client_email: "a@b.c",
    client_id: "1",
  };
  writeFileSync(`${folder}/key.json`, JSON.stringify(key));
  return `${folder}/key.json`;
}

const wrong: [why: string, args: string[], says: RegExp][] = [
  ["an unknown option", ["--servr", "x"], /Unknown option '--servr'/],
  ["an unknown protocol", ["ftp"], /there is no "ftp" to try/],
  ["a server that is no URL", ["--server", "localhost:8080"], /--server must be an http/],
  ["a password in the URL", ["--server", "http://a:hidden@127.0.0.1:1"], /not contain a name or a password/],
  ["a key file that is not there", ["--key", "/nowhere/key.json"], /there is no file/],
  ["a key and a token", ["--key", "a", "--token", "b"], /not both/],
];
for (const [why, args, says] of wrong) {
  test(`smoke: ${why} is a sentence and exit 2`, async () => {
    const { out, err, exited } = await smoke(...args);
    assert.equal((await exited).code, 2);
    assert.match(err, says);
    assert.doesNotMatch(out + err, /hidden/);
  });
}

test("token: an issuer and oneport in one terminal, a token in the other, and the walk works", async (t) => {
  const { createServer } = await import("node:net");
  const ports = await Promise.all(
    [0, 0].map(async () => {
      const server = createServer();
      await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
      const { port } = server.address() as { port: number };
      await new Promise((resolve) => server.close(resolve));
      return String(port);
    }),
  );
  const [port = "", issuerPort = ""] = ports;
  const first = runScript(t, "scripts/token.ts", ["start", "--issuer-port", issuerPort], {
    PORT: port,
    ADMIN_PORT: "0",
  });
  await first.says(/"message":"ready"/);
  const mint = async (...args: string[]): Promise<string> =>
    (
      await output(process.execPath, [
        `${ROOT}scripts/token.ts`,
        "mint",
        "--issuer-port",
        issuerPort,
        ...args,
      ])
    ).out.trim();
  const ask = async (token: string): Promise<number> =>
    (await fetch(`http://127.0.0.1:${port}/echo`, { headers: { authorization: `Bearer ${token}` } })).status;
  assert.equal(await ask(await mint()), 200);
  const expired = await mint("--lifetime=-60");
  assert.match(expired, /^eyJ/);
  assert.equal(await ask(expired), 401);
  assert.equal(await ask(await mint("--audience", "other")), 401);
  assert.equal(await ask(await mint("--email", "other@b.c")), 403);
  assert.equal((await fetch(`http://127.0.0.1:${port}/echo`)).status, 401);
  assert.equal(await first.stop(), 0);
});

test("token mint without an issuer says what to start", async () => {
  const { err, exited } = await output(process.execPath, [
    `${ROOT}scripts/token.ts`,
    "mint",
    "--issuer-port",
    "1",
  ]);
  assert.equal((await exited).code, 1);
  assert.match(err, /no issuer answers on port 1/);
});
