import type { KeyObject } from "node:crypto";
import { generateKeyPairSync, sign } from "node:crypto";
import { isIP } from "node:net";

/** A key and a certificate for it, as PEM. */
export interface Certified {
  readonly key: string;
  readonly cert: string;
}

export interface Wanted {
  /** Names, and addresses, that it is for. */
  readonly names: readonly string[];
  /** Hours from now at which it ends; in the past when negative. */
  readonly hours?: number;
}

const HOUR_MS = 3_600_000;

/** A certificate authority that lives as long as its test, and whose keys never leave the process (X.509: RFC 5280). */
export class Authority {
  /** Its own certificate. */
  readonly cert: string;
  readonly #key: KeyObject;
  readonly #name: string;

  constructor(name = "oneport test authority") {
    const { privateKey, publicKey } = keyPair();
    this.#key = privateKey;
    this.#name = name;
    const isAuthority = extension("551d13", seq(der(0x01, Buffer.from([0xff]))));
    this.cert = pem("CERTIFICATE", certificate(this, name, publicKey, 1, isAuthority));
  }

  issue({ names, hours = 1 }: Wanted): Certified {
    const { privateKey, publicKey } = keyPair();
    const alternatives = extension("551d11", seq(...names.map(alternative)));
    return {
      key: privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
      cert: pem("CERTIFICATE", certificate(this, names[0] ?? "", publicKey, hours, alternatives)),
    };
  }

  get name(): string {
    return this.#name;
  }

  sign(bytes: Buffer): Buffer {
    return sign("sha256", bytes, this.#key);
  }
}

function keyPair(): { privateKey: KeyObject; publicKey: KeyObject } {
  return generateKeyPairSync("ec", { namedCurve: "P-256" });
}

function certificate(
  issuer: Authority,
  subject: string,
  key: KeyObject,
  hours: number,
  more: Buffer,
): Buffer {
  const now = Date.now();
  const body = seq(
    der(0xa0, der(0x02, Buffer.from([2]))),
    der(0x02, Buffer.from(crypto.getRandomValues(new Uint8Array(8)).with(0, 1))),
    ECDSA_WITH_SHA256,
    nameOf(issuer.name),
    seq(time(now + (Math.min(0, hours) - 1) * HOUR_MS), time(now + hours * HOUR_MS)),
    nameOf(subject),
    key.export({ type: "spki", format: "der" }),
    der(0xa3, seq(more)),
  );
  return seq(body, ECDSA_WITH_SHA256, der(0x03, Buffer.from([0]), issuer.sign(body)));
}

const ECDSA_WITH_SHA256 = seq(oid("2a8648ce3d040302"));

function nameOf(text: string): Buffer {
  return seq(der(0x31, seq(oid("550403"), der(0x0c, Buffer.from(text)))));
}

/** Until 2049 the year has two digits (RFC 5280, section 4.1.2.5); some clients take no others. */
function time(ms: number): Buffer {
  const text = new Date(ms).toISOString().replace(/[-:T]|\.\d+/g, "");
  return der(0x17, Buffer.from(text.slice(2)));
}

function alternative(name: string): Buffer {
  return isIP(name) === 4
    ? der(0x87, Buffer.from(name.split(".").map(Number)))
    : der(0x82, Buffer.from(name));
}

function extension(id: string, value: Buffer): Buffer {
  return seq(oid(id), der(0x04, value));
}

function oid(hex: string): Buffer {
  return der(0x06, Buffer.from(hex, "hex"));
}

function seq(...parts: readonly Buffer[]): Buffer {
  return der(0x30, ...parts);
}

/** Tag, length, value (X.690, section 8.1). */
function der(tag: number, ...parts: readonly Buffer[]): Buffer {
  const value = Buffer.concat(parts);
  const { length } = value;
  // In as few bytes as it takes (section 10.1): Chromium insists on it.
  const size =
    length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from([tag, ...size]), value]);
}

function pem(label: string, bytes: Buffer): string {
  const lines = bytes.toString("base64").match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join("\n")}\n-----END ${label}-----\n`;
}
