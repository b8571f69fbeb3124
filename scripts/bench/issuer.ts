import { generateKeyPairSync, sign } from "node:crypto";
import type { JsonWebKey } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

/** Mints the ID token of a run and serves the key that verifies it. */
export interface Issuer {
  readonly certsUrl: string;
  /** `iss` of the token. */
  readonly name: string;
  readonly audience: string;
  readonly token: string;
  close(): Promise<void>;
}

const KEY_ID = "bench";
const AUDIENCE = "https://bench.example";

/** Seconds a token lasts: longer than any run, shorter than the day that google-auth-library allows. */
const LIFETIME_SECONDS = 12 * 3600;

export async function startIssuer(): Promise<Issuer> {
  const { privateKey, publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const body = keySet(publicKey.export({ format: "jwk" }));
  const server = createServer((_req, res) => {
    res.writeHead(200, { "content-type": "application/json", "cache-control": "max-age=43200" });
    res.end(body);
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const name = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const signed = `${part({ alg: "RS256", typ: "JWT", kid: KEY_ID })}.${part(claims(name))}`;
  const signature = sign("RSA-SHA256", Buffer.from(signed), privateKey).toString("base64url");
  return {
    certsUrl: `${name}/certs`,
    name,
    audience: AUDIENCE,
    token: `${signed}.${signature}`,
    async close() {
      server.closeAllConnections();
      await once(server.close(), "close");
    },
  };
}

function keySet(key: JsonWebKey): string {
  return JSON.stringify({ keys: [{ ...key, kid: KEY_ID, alg: "RS256", use: "sig" }] });
}

/** What a Google ID token of a service account holds. */
function claims(issuer: string): object {
  const now = Math.floor(Date.now() / 1000);
  return {
    iss: issuer,
    aud: AUDIENCE,
    sub: "100000000000000000001",
    email: "bench@example.iam.gserviceaccount.com",
    email_verified: true,
    iat: now,
    exp: now + LIFETIME_SECONDS,
  };
}

function part(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString("base64url");
}
