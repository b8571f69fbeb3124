import type { TestContext } from "node:test";
import { Issuer } from "../../scripts/token/issuer.ts";
import { signJwt } from "../../scripts/token/jwt.ts";
import type { TestEdge } from "./edge.ts";
import { testEdge } from "./edge.ts";
import { httpWorker } from "./workers.ts";

export const AUDIENCE = "https://api.example.com";
export const EMAIL = "caller@example.com";
export const OPTIONS = { audience: AUDIENCE, email: EMAIL };

/** Settings of an edge that trusts an issuer. */
export function settings(
  worker: string,
  from: Issuer,
  more: Record<string, string> = {},
): Record<string, string> {
  return {
    HTTP_UPSTREAMS: worker,
    AUTH_AUDIENCE: AUDIENCE,
    AUTH_SERVICE_ACCOUNTS: EMAIL,
    AUTH_CERTS_URL: from.certsUrl,
    AUTH_ISSUERS: from.issuer,
    ...more,
  };
}

export async function newIssuer(
  t: Pick<TestContext, "after">,
  ...args: ConstructorParameters<typeof Issuer>
): Promise<Issuer> {
  const made = new Issuer(...args);
  await made.listen();
  t.after(() => made.close());
  return made;
}

/** An issuer, an edge that trusts it, and a worker that answers with what it was asked. */
export async function trusting(t: Pick<TestContext, "after">): Promise<Trusting> {
  const issuer = await newIssuer(t);
  const worker = await httpWorker(t, (req, res) => {
    res.end(JSON.stringify({ url: req.url, headers: req.headers }));
  });
  return { issuer, worker, edge: await testEdge(t, settings(worker, issuer)) };
}

/** What most tests of tokens share. */
export interface Trusting {
  readonly issuer: Issuer;
  readonly worker: string;
  readonly edge: TestEdge;
}

/** Asks with a token; answers status and body. */
export async function ask(
  url: string,
  token: string | undefined,
  path = "/",
): Promise<{ status: number; body: Record<string, unknown> }> {
  const reply = await fetch(url + path, {
    headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
  });
  return { status: reply.status, body: (await reply.json()) as Record<string, unknown> };
}

/** A token with claims of the test's own. */
export function minted(issuer: Issuer, claims: object, header: object = {}): string {
  return signJwt(issuer.key, { ...issuer.claims(OPTIONS), ...claims }, header);
}
