import type { Server } from "node:http";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import type { Algorithm, SigningKey } from "./jwt.ts";
import { generateKey, signJwt } from "./jwt.ts";

/** Seconds that a Google ID token lasts. */
const LIFETIME_SECONDS = 3600;

export interface MintOptions {
  readonly audience: string;
  readonly email: string;
  /** Seconds from now; negative makes an expired token. */
  readonly lifetimeSeconds?: number;
}

/** A stand-in for Google on loopback: it publishes keys as Google does (`/certs`) and mints ID tokens that fit them (`/mint`). */
export class Issuer {
  readonly issuer: string;
  key: SigningKey;
  /** What `/certs` answers with; tests change it. */
  published: Record<string, string>;
  /** `cache-control` of `/certs`; undefined sends none. */
  cacheControl: string | undefined = "public, max-age=3600";
  fetches = 0;

  readonly #server: Server;

  constructor(issuer = "https://accounts.oneport.example", algorithm: Algorithm = "RS256") {
    this.issuer = issuer;
    this.key = generateKey("key-1", algorithm);
    this.published = { [this.key.id]: this.key.publicPem };
    this.#server = createServer((req, res) => {
      const url = new URL(req.url ?? "/", "http://issuer");
      if (url.pathname === "/certs") {
        this.fetches++;
        if (this.cacheControl !== undefined) res.setHeader("cache-control", this.cacheControl);
        return res.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(this.published));
      }
      if (url.pathname === "/mint") return res.end(this.mint(readMint(url.searchParams)) + "\n");
      return res.writeHead(404).end("not found: try /certs or /mint?audience=…&email=…\n");
    });
  }

  get certsUrl(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/certs`;
  }

  /** Opens the loopback port; 0 takes a free one. */
  async listen(port = 0): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once("error", reject);
      this.#server.listen(port, "127.0.0.1", resolve);
    });
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  /** The claims of a good token. */
  claims({ audience, email, lifetimeSeconds = LIFETIME_SECONDS }: MintOptions): Record<string, unknown> {
    const now = Math.floor(Date.now() / 1000);
    return {
      iss: this.issuer,
      aud: audience,
      azp: email,
      sub: "110169484474386276334",
      email,
      email_verified: true,
      iat: now - 1,
      exp: now + lifetimeSeconds,
    };
  }

  mint(options: MintOptions): string {
    return signJwt(this.key, this.claims(options));
  }
}

function readMint(query: URLSearchParams): MintOptions {
  return {
    audience: query.get("audience") ?? "http://localhost:8080",
    email: query.get("email") ?? "me@oneport.example",
    lifetimeSeconds: Number(query.get("lifetime") ?? LIFETIME_SECONDS),
  };
}
