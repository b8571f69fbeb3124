import type { HeaderList } from "../exchange.ts";
import { isAuthority } from "../message/authority.ts";
import { TOKEN } from "../message/token.ts";
import { ENTRY_OVERHEAD } from "./hpack/static-table.ts";

/** RFC 9113, section 8.2.1: a token, without upper-case letters. */
const NAME = /^[a-z0-9!#$%&'*+\-.^_`|~]+$/;
/** RFC 9113, section 8.2.1: no NUL, CR or LF, no white space at either end. */
// oxlint-disable-next-line no-control-regex
const VALUE = /^(?:[^\0\r\n\t ](?:[^\0\r\n]*[^\0\r\n\t ])?)?$/;

/** RFC 9113, section 8.3.1, and RFC 3986: a request target has no white space, no control characters and no fragment. */
const PATH = /^[\x21\x22\x24-\x7e\x80-\xff]+$/;

/** RFC 9113, section 8.2.2. */
const CONNECTION_SPECIFIC = new Set([
  "connection",
  "proxy-connection",
  "keep-alive",
  "transfer-encoding",
  "upgrade",
]);

const REQUEST_PSEUDO = new Set([":method", ":scheme", ":authority", ":path", ":protocol"]);
const REPLY_PSEUDO = new Set([":status"]);
const NO_PSEUDO = new Set<string>();

/** What is wrong with a request's fields (RFC 9113, section 8.3.1; RFC 8441, section 4); undefined when nothing is. */
export function checkRequest(fields: HeaderList): string | undefined {
  const pseudo = new Map<string, string>();
  const wrong = checkFields(fields, REQUEST_PSEUDO, pseudo);
  if (wrong !== undefined) return wrong;
  const method = pseudo.get(":method");
  if (method === undefined || !TOKEN.test(method)) return "no :method, or none that is a token";
  const protocol = pseudo.get(":protocol");
  if (protocol !== undefined && method !== "CONNECT") return ":protocol without CONNECT";
  if (method === "CONNECT" && protocol === undefined) {
    return pseudo.has(":scheme") || pseudo.has(":path") ? "CONNECT with :scheme or :path" : undefined;
  }
  if (!pseudo.has(":scheme") || !pseudo.has(":path")) return "no :scheme or no :path";
  if (!PATH.test(pseudo.get(":path") ?? "")) return "a :path that is none";
  return checkHost(fields, pseudo.get(":authority"));
}

/** RFC 9113, section 8.3.1: one host, and where it is named twice it is the same. */
function checkHost(fields: HeaderList, authority: string | undefined): string | undefined {
  let host = authority;
  for (let i = 0; i < fields.length; i += 2) {
    if (fields[i] !== "host") continue;
    const value = fields[i + 1] ?? "";
    if (host !== undefined && host.toLowerCase() !== value.toLowerCase()) return "two hosts";
    host ??= value;
  }
  return host === undefined || isAuthority(host) ? undefined : "an authority that names no host";
}

/** What is wrong with a reply's fields (RFC 9113, section 8.3.2); undefined when nothing is. */
export function checkReply(fields: HeaderList): string | undefined {
  const pseudo = new Map<string, string>();
  const wrong = checkFields(fields, REPLY_PSEUDO, pseudo);
  if (wrong !== undefined) return wrong;
  const status = pseudo.get(":status") ?? "";
  // RFC 9113, section 8.6. Passed on over HTTP/1.1 it would end HTTP there.
  if (status === "101") return "the status 101";
  return /^[1-9][0-9]{2}$/.test(status) ? undefined : "no :status";
}

/** What is wrong with trailers (RFC 9113, section 8.1); undefined when nothing is. */
export function checkTrailers(fields: HeaderList): string | undefined {
  return checkFields(fields, NO_PSEUDO, new Map());
}

function checkFields(
  fields: HeaderList,
  allowed: ReadonlySet<string>,
  pseudo: Map<string, string>,
): string | undefined {
  let regular = false;
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i] ?? "";
    const value = fields[i + 1] ?? "";
    if (!VALUE.test(value)) return `a value of ${name.slice(0, 40)} that is none`;
    if (name.startsWith(":")) {
      if (regular) return "a pseudo-header field behind a regular one";
      if (!allowed.has(name)) return "a pseudo-header field that does not belong here";
      if (pseudo.has(name)) return "a pseudo-header field twice";
      pseudo.set(name, value);
      continue;
    }
    regular = true;
    if (!NAME.test(name)) return "a field name that is none";
    if (CONNECTION_SPECIFIC.has(name)) return "a connection-specific field";
    if (name === "te" && value !== "trailers") return "te with another value than trailers";
  }
  return undefined;
}

/** What a head says of the bytes that follow: -1 when nothing, NaN when it is no number or says two. */
export function contentLengthOf(fields: HeaderList): number {
  let length = -1;
  for (let i = 0; i < fields.length; i += 2) {
    if (fields[i] !== "content-length") continue;
    const text = fields[i + 1] ?? "";
    if (!/^[0-9]{1,15}$/.test(text) || (length >= 0 && length !== Number(text))) return Number.NaN;
    length = Number(text);
  }
  return length;
}

/** The size of a list as SETTINGS_MAX_HEADER_LIST_SIZE counts it (RFC 9113, section 6.5.2). */
export function listBytes(fields: HeaderList): number {
  let bytes = (fields.length / 2) * ENTRY_OVERHEAD;
  for (let i = 0; i < fields.length; i++) bytes += fields[i]?.length ?? 0;
  return bytes;
}
