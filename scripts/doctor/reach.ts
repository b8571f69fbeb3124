import { lookup } from "node:dns/promises";
import { once } from "node:events";
import type { Socket } from "node:net";
import { connect, isIP } from "node:net";
import type { TLSSocket } from "node:tls";
import { connect as connectTls } from "node:tls";
import { limited, unreachable } from "../smoke/http.ts";
import type { Finding } from "./finding.ts";
import { failed, ok, sentence } from "./finding.ts";
import type { Site } from "./site.ts";
import { hostOf, isTls, portOf } from "./site.ts";

/** What there is to build on. */
export interface Reach {
  readonly findings: readonly Finding[];
  /** False: nothing else can be tried. */
  readonly open: boolean;
  /** False: the server does not offer HTTP/2, so clients that negotiate get none. */
  readonly http2: boolean;
}

/** DNS, TCP, and TLS with what it negotiates. */
export async function reach(site: Site): Promise<Reach> {
  const findings: Finding[] = [];
  const host = hostOf(site);
  if (isIP(host) === 0) {
    try {
      const addresses = await limited(site, lookup(host, { all: true }));
      findings.push(ok("DNS", addresses.map(({ address }) => address).join(", ")));
    } catch (thrown) {
      findings.push(failed("DNS", sentence(thrown), `Check --server: the name ${host} does not resolve.`));
      return { findings, open: false, http2: false };
    }
  }
  const tcp = await tryTcp(site);
  findings.push(tcp);
  if (tcp.verdict !== "ok") return { findings, open: false, http2: false };
  if (!isTls(site)) return { findings, open: true, http2: true };
  const { finding, http2 } = await tryTls(site);
  findings.push(finding);
  return { findings, open: finding.verdict === "ok" || http2 !== undefined, http2: http2 === true };
}

async function tryTcp(site: Site): Promise<Finding> {
  const port = portOf(site);
  try {
    await connected(site, connect({ host: hostOf(site), port }), "connect", () => {});
    return ok("TCP", `port ${port} accepts connections`);
  } catch (thrown) {
    return failed(
      "TCP",
      sentence(thrown),
      `Check that the server runs and that port ${port} may be reached from here.`,
    );
  }
}

/** `http2` is undefined when there is no TLS at all. */
async function tryTls(site: Site): Promise<{ finding: Finding; http2?: boolean }> {
  const host = hostOf(site);
  try {
    const socket = connectTls({
      host,
      port: portOf(site),
      ALPNProtocols: ["h2", "http/1.1"],
      ...(isIP(host) === 0 ? { servername: host } : {}),
    });
    return await connected(site, socket, "secureConnect", negotiated);
  } catch (thrown) {
    return { finding: failed("TLS", reason(thrown), whyNoTls(thrown)) };
  }
}

function negotiated(socket: TLSSocket): { finding: Finding; http2: boolean } {
  const version = socket.getProtocol() ?? "TLS";
  if (socket.alpnProtocol === "h2") return { finding: ok("TLS", `${version}, offers HTTP/2`), http2: true };
  const finding = failed(
    "TLS",
    `${version}, does not offer HTTP/2`,
    'Let what ends TLS offer "h2" (ALPN): without it there is no gRPC.',
  );
  return { finding, http2: false };
}

function whyNoTls(thrown: unknown): string {
  const cause = thrown instanceof Error ? thrown.cause : undefined;
  const code = typeof cause === "object" && cause !== null && "code" in cause ? String(cause.code) : "";
  if (code.startsWith("ERR_SSL") || code === "EPROTO" || code === "ECONNRESET")
    return "Use http:// in --server, or have TLS ended in front of the edge: what listens there speaks none.";
  if (code.includes("EXPIRED")) return "Renew the server's certificate: it has expired.";
  if (code.includes("ALTNAME"))
    return "Get a certificate for this name, or use a name that it has in --server.";
  return "Get a certificate that clients trust, or name its authority in NODE_EXTRA_CA_CERTS.";
}

/** OpenSSL's messages are lines of addresses and files; its reason is the part for people. */
function reason(thrown: unknown): string {
  const cause = thrown instanceof Error ? thrown.cause : undefined;
  const said = typeof cause === "object" && cause !== null && "reason" in cause ? cause.reason : undefined;
  // Node adds advice of its own behind a semicolon.
  return typeof said === "string" ? said : (sentence(thrown).split(";", 1)[0] ?? "");
}

async function connected<S extends Socket, T>(
  site: Site,
  socket: S,
  event: string,
  use: (socket: S) => T,
): Promise<T> {
  try {
    await limited(site, once(socket, event));
    return use(socket);
  } catch (thrown) {
    throw thrown instanceof Error ? unreachable(thrown) : thrown;
  } finally {
    socket.destroy();
  }
}
