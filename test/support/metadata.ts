import type { Server } from "node:http";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import type { TestContext } from "node:test";
import { encode } from "../../scripts/token/jwt.ts";

/** A token as Google would sign it; nobody here looks at its signature. */
export function tokenFor(audience: string, lifeMs: number, number = 0): string {
  const now = Date.now() / 1000;
  const claims = {
    iss: "https://accounts.google.com",
    aud: audience,
    iat: now,
    exp: now + lifeMs / 1000,
    number,
  };
  return `${encode({ alg: "RS256", typ: "JWT" })}.${encode(claims)}.${"s".repeat(342)}`;
}

/** What a token is, when it is one of tokenFor's. */
export function claims(authorization: unknown): { aud: string; number: number } {
  const [, payload = ""] = /^Bearer [\w-]+\.([\w-]+)\.s+$/.exec(String(authorization)) ?? [];
  return JSON.parse(Buffer.from(payload, "base64url").toString() || "null") as {
    aud: string;
    number: number;
  };
}

export interface Answer {
  readonly status: number;
  readonly body: string;
}

/** A stand-in for Google's metadata server, as far as ID tokens go. */
export class MetadataServer {
  /** What the tokens live, in milliseconds. */
  lifeMs = 3_600_000;
  /** What is answered in place of a token, for some audience. */
  instead: (audience: string) => Answer | undefined = () => undefined;
  /** The audiences that were asked for. */
  readonly asked: string[] = [];
  readonly #server: Server;
  #waiting: (() => void)[] = [];

  constructor() {
    this.#server = createServer((req, res) => {
      const url = new URL(req.url ?? "", "http://metadata");
      const audience = url.searchParams.get("audience") ?? "";
      const isRight =
        url.pathname === "/computeMetadata/v1/instance/service-accounts/default/identity" &&
        req.headers["metadata-flavor"] === "Google";
      this.asked.push(audience);
      const token = tokenFor(audience, this.lifeMs, this.asked.length);
      const { status, body } = isRight
        ? (this.instead(audience) ?? { status: 200, body: token })
        : { status: 404, body: "" };
      res.writeHead(status, { "metadata-flavor": "Google", "content-type": "text/html" });
      res.end(body);
      for (const resolve of this.#waiting.splice(0)) resolve();
    });
  }

  /** Starts it, and has this process ask it. */
  async start(t: Pick<TestContext, "after">): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    const host = `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
    // A developer's own account must not be asked in its place.
    for (const name of ["GOOGLE_APPLICATION_CREDENTIALS", "GCE_METADATA_IP"])
      Reflect.deleteProperty(process.env, name);
    process.env["GCE_METADATA_HOST"] = host;
    t.after(() => {
      delete process.env["GCE_METADATA_HOST"];
      this.#server.close();
      this.#server.closeAllConnections();
    });
    return host;
  }

  /** Resolves when it has been asked that many times. */
  async untilAsked(times: number): Promise<void> {
    while (this.asked.length < times)
      await new Promise<void>((resolve) => (this.#waiting = [...this.#waiting, resolve]));
  }
}
