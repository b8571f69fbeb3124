/** What a setting's text becomes; `fail` gives the rest of the sentence that starts with the setting's name. */
export type Parse<T> = (text: string) => T;

/** A mistake in one setting, in words that follow its name: "must be …, not …". */
export class SettingError extends Error {}

export function fail(rule: string, text: string): never {
  throw new SettingError(`must be ${rule}, not ${JSON.stringify(text)}`);
}

export function integer(min: number, max: number): Parse<number> {
  return (text) => {
    const value = Number(text);
    if (!/^[0-9]{1,15}$/.test(text) || value < min || value > max)
      fail(`a whole number from ${min} to ${max}`, text);
    return value;
  };
}

export function oneOf<const T extends string>(...words: readonly T[]): Parse<T> {
  return (text) => words.find((word) => word === text) ?? fail(words.join(" or "), text);
}

/** One word, or what else fits. */
export function either<const W extends string, T>(word: W, other: Parse<T>): Parse<W | T> {
  return (value) => {
    if (value === word) return word;
    try {
      return other(value);
    } catch (thrown) {
      if (!(thrown instanceof SettingError)) throw thrown;
      throw new SettingError(thrown.message.replace("must be ", `must be ${word} or `));
    }
  };
}

export const onOff: Parse<boolean> = (text) => {
  const word = text.toLowerCase();
  if (["on", "true", "1", "yes"].includes(word)) return true;
  if (["off", "false", "0", "no"].includes(word)) return false;
  return fail("on or off", text);
};

/** A part of all, or at most so many a second. */
export type Sampling = number | { readonly perSecond: number };

export const sampling: Parse<Sampling> = (value) => {
  const rate = /^([1-9][0-9]{0,6})\/s$/.exec(value)?.[1];
  if (rate !== undefined) return { perSecond: Number(rate) };
  const isShare = /^(0|1|[01]?\.[0-9]{1,9})$/.test(value) && Number(value) <= 1;
  return isShare ? Number(value) : fail("a part such as 0.01 or a rate such as 1000/s", value);
};

/** A Google Cloud project's id; old ones begin with a domain. */
export const project: Parse<string> = (value) =>
  /^([a-z0-9.-]+:)?[a-z][a-z0-9-]*$/.test(value) ? value : fail("the id of a project", value);

export const text: Parse<string> = (value) => value;

/** Comma-separated, without empty members. */
export function list<T>(member: Parse<T>): Parse<readonly T[]> {
  return (value) =>
    value
      .split(",")
      .map((item) => item.trim())
      .filter((item) => item !== "")
      .map(member);
}

/** A comma list of addresses, or the word `none`; an empty one is rather a mistake than a decision. */
export function upstreams(...schemes: readonly string[]): Parse<readonly Address[]> {
  const addresses = list(address(...schemes));
  return (value) => {
    if (value.trim() === "none") return [];
    const all = addresses(value);
    if (all.length === 0) throw new SettingError("names no upstream, and does not say none");
    return all;
  };
}

/** A request path, matched byte for byte: nothing that a worker might read as another path is let in. */
export const path: Parse<string> = (value) =>
  /^\/(?:[A-Za-z0-9\-._~!$&'()*+,=:@]+(?:\/|$))*$/.test(value) && !/(?:\/\.{1,2}(?:\/|$))|.\/$/.test(value)
    ? value
    : fail("a plain path such as /ping (no query, no % or ;, no empty, . or .. segment)", value);

const ORIGIN = /^([a-z][a-z0-9+.-]*):\/\/((?:\*\.)?[a-z0-9][a-z0-9._-]*|\[[0-9a-f:.]+\])(?::([0-9]{1,5}))?$/;
const DEFAULT_PORTS: Readonly<Record<string, string>> = { http: "80", https: "443" };

/** An origin as browsers write it (RFC 6454, section 6.2): in lower case, without the port that its scheme implies. Undefined for what is none. */
export function readOrigin(value: string): string | undefined {
  const [whole, scheme = "", host, port] = ORIGIN.exec(value.toLowerCase()) ?? [];
  if (whole === undefined) return undefined;
  return port === undefined || port === DEFAULT_PORTS[scheme] ? `${scheme}://${host}` : whole;
}

/** Whose pages may open a WebSocket: an origin, one whose host begins with `*.` for all below it, `same` or `*`. */
export const originRule: Parse<string> = (value) => {
  if (value === "*" || value === "same") return value;
  const origin = readOrigin(value);
  // *.com would be half the world.
  if (origin === undefined || /\*\.[^.]*$/.test(origin))
    return fail("same, *, or an origin such as https://app.example.com or https://*.example.com", value);
  return origin;
};

/** An account's email, or `*` for any verified identity. */
export const account: Parse<string> = (value) =>
  value === "*" || /^[^\s@,*]+@[^\s@,*]+$/.test(value)
    ? value.toLowerCase()
    : fail("an email address or *", value);

/** One origin, or `*` for any. */
export const origin: Parse<string> = (value) => {
  if (value === "*") return value;
  const origin = value.includes("*") ? undefined : readOrigin(value);
  return origin ?? fail("an origin such as https://app.example.com or *", value);
};

export const httpUrl: Parse<string> = (value) => {
  const url = URL.canParse(value) ? new URL(value) : fail("an http:// or https:// URL", value);
  // `fetch` takes none either, and says so with all of the URL, which is logged.
  if (url.username !== "" || url.password !== "")
    throw new SettingError("must not hold a name or a password");
  return url.protocol === "https:" || url.protocol === "http:"
    ? url.href
    : fail("an http:// or https:// URL", value);
};

/** Where a worker listens. */
export type Address =
  | { readonly kind: "tcp"; readonly name: string; readonly host: string; readonly port: number }
  | { readonly kind: "unix"; readonly name: string; readonly path: string }
  | TlsAddress;

/** A worker that is reached by its name, over TLS. */
export interface TlsAddress {
  readonly kind: "tls";
  readonly name: string;
  readonly host: string;
  readonly port: number;
  /** What requests to it name: its host, with the port unless that is 443. */
  readonly authority: string;
  /** What is to be spoken there (RFC 7301). */
  readonly alpn: "h2" | "http/1.1";
}

/** `http://host:port`, `h2c://host:port`, `https://host` or `unix:/path`; `schemes` are the ones without TLS that fit the protocol. */
export function address(...schemes: readonly string[]): Parse<Address> {
  const rule = [...schemes.map((scheme) => `${scheme}://host:port`), "https://host", "unix:/path"].join(
    " or ",
  );
  const alpn = schemes.includes("h2c") ? "h2" : "http/1.1";
  return (value) => {
    if (value.startsWith("unix:/")) return { kind: "unix", name: value, path: value.slice("unix:".length) };
    if (value.startsWith("https://")) return tlsAddress(value, alpn) ?? fail(rule, value);
    const match = /^([a-z0-9]+):\/\/(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+):([0-9]{1,5})\/?$/.exec(value);
    const port = Number(match?.[3]);
    if (match === null || !schemes.includes(match[1] ?? "") || port < 1 || port > 65_535) fail(rule, value);
    const host = (match[2] ?? "").replace(/^\[|\]$/g, "");
    return { kind: "tcp", name: `${match[1]}://${match[2]}:${port}`, host, port };
  };
}

/** A certificate is for a name, so the name is written as certificates have it; undefined for what is no such address. */
function tlsAddress(value: string, alpn: TlsAddress["alpn"]): TlsAddress | undefined {
  const match = /^https:\/\/(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+)(?::([0-9]{1,5}))?\/?$/.exec(value);
  const host = (match?.[1] ?? "").toLowerCase();
  const port = Number(match?.[2] ?? 443);
  if (match === null || port < 1 || port > 65_535) return undefined;
  const authority = port === 443 ? host : `${host}:${port}`;
  return {
    kind: "tls",
    name: `https://${authority}`,
    host: host.replace(/^\[|\]$/g, ""),
    port,
    authority,
    alpn,
  };
}

/** What an ID token is made for: it becomes part of an address as it is. */
export const audience: Parse<string> = (value) =>
  /^[A-Za-z0-9\-._~:/@]+$/.test(value) ? value : fail("an audience such as https://name.example.com", value);
