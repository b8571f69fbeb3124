import type { Contender, Launch, Site } from "../contender.ts";
import { EDGE_FLAGS } from "../../start/flags.ts";
import { freePorts } from "../ports.ts";

export const oneport: Contender = {
  name: "oneport",
  doc: "the edge, without authentication",
  peer: undefined,
  guarded: false,
  sendsToken: false,
  prepare: (site) => launch(site, {}, {}),
};

/** What http2-proxy costs is the difference to this one. */
export const oneportDirect: Contender = {
  name: "oneport-direct",
  doc: "the edge with HTTP1_CARRIER=direct: HTTP/1.1 without http2-proxy",
  peer: undefined,
  guarded: false,
  sendsToken: false,
  prepare: async (site) => {
    const { ports, ...rest } = await launch(site, { HTTP1_CARRIER: "direct" }, {});
    return { ...rest, ports: ports.h1 === undefined ? {} : { h1: ports.h1 } };
  },
};

/** Carries what oneport-auth carries: what the two differ by is the price of verification alone. */
export const oneportToken: Contender = {
  name: "oneport-token",
  doc: "the edge, without authentication, passing on the token that oneport-auth verifies",
  peer: undefined,
  guarded: false,
  sendsToken: true,
  prepare: (site) => launch(site, {}, tokenOf(site)),
};

export const oneportAuth: Contender = {
  name: "oneport-auth",
  doc: "the edge, verifying an ID token on every request, /ping included",
  peer: undefined,
  guarded: true,
  sendsToken: true,
  prepare: (site) =>
    launch(
      site,
      {
        AUTH_MODE: "verify",
        AUTH_AUDIENCE: site.issuer.audience,
        AUTH_ISSUERS: site.issuer.name,
        AUTH_CERTS_URL: site.issuer.certsUrl,
        AUTH_SERVICE_ACCOUNTS: "*",
        AUTH_PUBLIC_PATHS: "/public",
      },
      tokenOf(site),
    ),
};

function tokenOf({ issuer }: Site): Record<string, string> {
  return { authorization: `Bearer ${issuer.token}` };
}

async function launch(
  { backends }: Site,
  settings: Record<string, string>,
  headers: Record<string, string>,
): Promise<Launch> {
  const [port = 0] = await freePorts(1);
  const env = {
    PORT: String(port),
    ADMIN_PORT: "0",
    LOG_LEVEL: "silent",
    STARTUP_SECONDS: "10",
    HTTP_UPSTREAMS: `http://127.0.0.1:${backends.http}`,
    GRPC_UPSTREAMS: `h2c://127.0.0.1:${backends.grpc}`,
    WS_UPSTREAMS: `http://127.0.0.1:${backends.ws}`,
    ...settings,
  };
  const main = new URL("../../../edge/main.ts", import.meta.url).pathname;
  return {
    program: { file: process.execPath, args: [...EDGE_FLAGS, main], env },
    ports: { grpc: port, h2c: port, h1: port, ws: port, "ws-h2": port },
    headers,
  };
}
