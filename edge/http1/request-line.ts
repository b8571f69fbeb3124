import { EdgeError } from "../errors.ts";
import { isAuthority } from "../message/authority.ts";
import { malformed } from "./malformed.ts";

/** What the first line of a request says (RFC 9112, section 3). */
export interface RequestLine {
  readonly method: string;
  readonly target: string;
  readonly version: "1.0" | "1.1";
}

/** One space between two parts and nowhere else; a target has no control characters, and no fragment. */
const LINE = /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+) ([\x21\x22\x24-\x7e\x80-\xff]+) HTTP\/([0-9])\.([0-9])$/;

/**
 * Throws `bad_request` for what is no request line, `version_not_supported` for HTTP/2.x, which nobody begins like this,
 * and `method_not_allowed` for CONNECT.
 */
export function readRequestLine(line: string): RequestLine {
  const match = LINE.exec(line);
  if (match === null) throw malformed("no valid request line");
  const [, method = "", target = "", major, minor] = match;
  if (major === "2") throw new EdgeError("version_not_supported");
  if (major !== "1" || (minor !== "0" && minor !== "1"))
    throw malformed("a version of HTTP that there is not");
  // Methods are case-sensitive (RFC 9110, section 9.1), but what comes after us may think otherwise of `connect`.
  if (method !== method.toUpperCase()) throw malformed("a method that is not in upper case");
  if (method === "CONNECT") throw new EdgeError("method_not_allowed");
  return { method, target, version: minor === "0" ? "1.0" : "1.1" };
}

/** The parts of a request target: what the worker is asked for, and of whom. */
export interface Target {
  readonly path: string;
  readonly authority: string;
}

const ABSOLUTE = /^https?:\/\/([^/?]+)([/?].*)?$/i;

/**
 * RFC 9112, section 3.2: a path, `*` for OPTIONS, or an absolute URL, whose authority wins over Host while the worker gets
 * the path. Throws `bad_request` for anything else, and for a host that is none.
 */
export function readTarget(method: string, target: string, host: string): Target {
  if (!isAuthority(host)) throw malformed("a Host field that names no host");
  if (target.startsWith("/") || (target === "*" && method === "OPTIONS"))
    return { path: target, authority: host };
  const match = ABSOLUTE.exec(target);
  const authority = match?.[1];
  if (authority === undefined)
    throw malformed("a request target that is neither a path nor an absolute http URL");
  if (!isAuthority(authority)) throw malformed("a request target whose authority names no host");
  const rest = match?.[2] ?? "/";
  return { path: rest.startsWith("?") ? `/${rest}` : rest, authority };
}
