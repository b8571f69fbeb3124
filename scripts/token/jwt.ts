import type { KeyObject } from "node:crypto";
import { generateKeyPairSync, sign } from "node:crypto";

export type Algorithm = "RS256" | "ES256";

/** A signing key and its public half in PEM, as Google publishes it. */
export interface SigningKey {
  readonly id: string;
  readonly algorithm: Algorithm;
  readonly privateKey: KeyObject;
  readonly publicPem: string;
}

export function generateKey(id: string, algorithm: Algorithm): SigningKey {
  const { privateKey, publicKey } =
    algorithm === "RS256"
      ? generateKeyPairSync("rsa", { modulusLength: 2048 })
      : generateKeyPairSync("ec", { namedCurve: "P-256" });
  return {
    id,
    algorithm,
    privateKey,
    publicPem: publicKey.export({ type: "spki", format: "pem" }).toString(),
  };
}

/** Signs claims as a JWT (RFC 7515, compact serialization). `header` adds to `alg`, `kid` and `typ`, or replaces them. */
export function signJwt(key: SigningKey, claims: object, header: object = {}): string {
  const head = { alg: key.algorithm, kid: key.id, typ: "JWT", ...header };
  const signed = `${encode(head)}.${encode(claims)}`;
  const signature = sign("sha256", Buffer.from(signed), { key: key.privateKey, dsaEncoding: "ieee-p1363" });
  return `${signed}.${signature.toString("base64url")}`;
}

export function encode(part: object): string {
  return Buffer.from(JSON.stringify(part)).toString("base64url");
}
