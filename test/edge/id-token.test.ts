// Where the edge's own ID token comes from: a stand-in for the metadata server, and a key file.
import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { createServer as createTlsServer } from "node:https";
import { connect } from "node:net";
import type { AddressInfo, Server, Socket } from "node:net";
import { test } from "node:test";
import type { TestContext } from "node:test";
import { fetchIdToken } from "../../edge/auth/id-token.ts";
import { MetadataServer, claims, tokenFor } from "../support/metadata.ts";
import { trust } from "../support/tls.ts";
import { readAll } from "../support/workers.ts";

const AUDIENCE = "https://service-abc.run.app";
const { authority } = trust();

test("the metadata server's token, and until when it counts", async (t) => {
  const server = new MetadataServer();
  await server.start(t);
  const before = Date.now();
  const { token, expires } = await fetchIdToken(AUDIENCE);
  assert.equal(claims(`Bearer ${token}`).aud, AUDIENCE);
  assert.ok(expires >= before + server.lifeMs && expires <= Date.now() + server.lifeMs);
  assert.deepEqual(server.asked, [AUDIENCE]);
});

const refused: readonly (readonly [why: string, status: number, body: string, reason: RegExp])[] = [
  ["no account", 404, "not found", /HTTP 404/],
  ["a page in place of a token", 200, "<html>hello</html>", /what came is no ID token/],
  ["a number", 200, "42", /what came is no ID token/],
  ["an access token", 200, JSON.stringify({ access_token: "x" }), /what came is no ID token/],
  ["what would break a header", 200, "a.b.c\r\nx: y", /what came is no ID token/],
  ["a token for another audience", 200, tokenFor("https://other", 1000), /for another audience/],
  [
    "a token that never ends",
    200,
    `e30.${Buffer.from(JSON.stringify({ aud: AUDIENCE })).toString("base64url")}.s`,
    /has no exp/,
  ],
  [
    "a token that is none inside",
    200,
    "aaaaaaaaaaaaaaaaaaaa.bbbbbbbbbbbbbbbbbbbb.cccccccccccccccccccccc",
    /./,
  ],
];
for (const [why, status, body, reason] of refused) {
  test(`${why} is refused, and what came is not in the reason`, async (t) => {
    const server = new MetadataServer();
    await server.start(t);
    server.instead = () => ({ status, body });
    await assert.rejects(fetchIdToken(AUDIENCE), (error: Error) => {
      assert.match(error.message, reason);
      assert.doesNotMatch(error.message, /html|bbbbbb|sssss/);
      assert.equal(error.cause, undefined);
      return true;
    });
  });
}

test("a key file: a JWT for the audience, signed by its key, is exchanged for the token", async (t) => {
  const account = keyFile(t);
  const google = await standInForGoogle(t, (grant) => ({
    status: 200,
    body: { id_token: tokenFor(grant.target_audience, 3_600_000) },
  }));
  const { token } = await fetchIdToken(AUDIENCE);
  assert.equal(claims(`Bearer ${token}`).aud, AUDIENCE);
  assert.deepEqual(
    google.map(({ iss, target_audience }) => [iss, target_audience]),
    [[account, AUDIENCE]],
  );
});

test("a key file that Google no longer takes says so, without the JWT", async (t) => {
  keyFile(t);
  await standInForGoogle(t, (_grant, jwt) => ({
    status: 400,
    body: { error: "invalid_grant", error_description: `Invalid JWT ${jwt}` },
  }));
  await assert.rejects(fetchIdToken(AUDIENCE), (error: Error) => {
    assert.match(error.message, /HTTP 400.*invalid_grant/);
    assert.doesNotMatch(error.message, /eyJ/);
    return true;
  });
});

test("a key file that is not there says so", async (t) => {
  setEnv(t, "GOOGLE_APPLICATION_CREDENTIALS", "/nowhere/key.json");
  await assert.rejects(fetchIdToken(AUDIENCE), /\/nowhere\/key\.json/);
});

/** Makes a key file, and names it in the environment; answers its account. */
function keyFile(t: TestContext): string {
  const folder = mkdtempSync("/tmp/oneport-test-");
  t.after(() => rmSync(folder, { recursive: true }));
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const account = "edge@my-project.iam.gserviceaccount.com";
  const key = {
    type: "service_account",
    client_email: account,
    private_key_id: "1",
    private_key: privateKey.export({ type: "pkcs8", format: "pem" }),
  };
  writeFileSync(`${folder}/key.json`, JSON.stringify(key));
  setEnv(t, "GOOGLE_APPLICATION_CREDENTIALS", `${folder}/key.json`);
  return account;
}

function setEnv(t: TestContext, name: string, value: string): void {
  process.env[name] = value;
  t.after(() => void Reflect.deleteProperty(process.env, name));
}

interface Grant {
  readonly iss: string;
  readonly target_audience: string;
}

/** Takes the place of oauth2.googleapis.com, by a proxy that leads there; answers what it was granted for. */
async function standInForGoogle(
  t: TestContext,
  answer: (grant: Grant, jwt: string) => { status: number; body: object },
): Promise<Grant[]> {
  const grants: Grant[] = [];
  const certified = authority.issue({ names: ["oauth2.googleapis.com"] });
  const google = createTlsServer(certified, async (req, res) => {
    const jwt = new URLSearchParams((await readAll(req)).toString()).get("assertion") ?? "";
    const grant = JSON.parse(Buffer.from(jwt.split(".")[1] ?? "", "base64url").toString()) as Grant;
    grants.push(grant);
    const { status, body } = answer(grant, jwt);
    res.writeHead(status, { "content-type": "application/json", connection: "close" });
    res.end(JSON.stringify(body));
  });
  const to = await listen(t, google);
  const proxy = createServer();
  proxy.on("connect", (_req, client: Socket) => {
    const socket = connect(to, "127.0.0.1");
    for (const end of [client, socket]) end.on("error", () => {});
    client.write("HTTP/1.1 200 OK\r\n\r\n");
    client.pipe(socket).pipe(client);
  });
  setEnv(t, "HTTPS_PROXY", `http://127.0.0.1:${await listen(t, proxy)}`);
  return grants;
}

async function listen(t: TestContext, server: Server & { closeAllConnections(): void }): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  return (server.address() as AddressInfo).port;
}
