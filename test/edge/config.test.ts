import assert from "node:assert/strict";
import { test } from "node:test";
import type { Config } from "../../edge/settings/config.ts";
import { ConfigError, START_SETTINGS, readConfig } from "../../edge/settings/config.ts";
import { WORKERS } from "../../scripts/start/plan.ts";

function mistakes(env: Record<string, string>): readonly string[] {
  try {
    readConfig(env);
  } catch (thrown) {
    assert.ok(thrown instanceof ConfigError);
    return thrown.mistakes;
  }
  return [];
}

const AUTH = { AUTH_AUDIENCE: "https://api.example.com", AUTH_SERVICE_ACCOUNTS: "a@example.com" };

const refused: [why: string, env: Record<string, string>, mistake: RegExp][] = [
  [
    "an audience without an allow-list",
    { AUTH_AUDIENCE: "x" },
    /AUTH_AUDIENCE is set without AUTH_SERVICE_ACCOUNTS/,
  ],
  [
    "an allow-list without an audience",
    { AUTH_SERVICE_ACCOUNTS: "*" },
    /AUTH_SERVICE_ACCOUNTS is set without AUTH_AUDIENCE/,
  ],
  [
    "an empty allow-list",
    { AUTH_AUDIENCE: "x", AUTH_SERVICE_ACCOUNTS: " , " },
    /without AUTH_SERVICE_ACCOUNTS/,
  ],
  ["Cloud Run with neither", { K_SERVICE: "api" }, /On Cloud Run/],
  ["Cloud Run with a blank audience", { K_SERVICE: "api", AUTH_AUDIENCE: " " }, /On Cloud Run/],
  ["Cloud Run with a blank mode", { K_SERVICE: "api", AUTH_MODE: " " }, /On Cloud Run/],
  ["Cloud Run with an empty allow-list", { K_SERVICE: "api", AUTH_SERVICE_ACCOUNTS: "," }, /On Cloud Run/],
  ["an allow-list that names nobody", { AUTH_SERVICE_ACCOUNTS: "," }, /names nobody/],
  ["a mode without its settings", { AUTH_MODE: "verify" }, /AUTH_MODE=verify needs/],
  ["IAP without its settings", { AUTH_MODE: "iap" }, /AUTH_MODE=iap needs/],
  ["off together with an audience", { ...AUTH, AUTH_MODE: "off" }, /AUTH_MODE=off contradicts/],
  ["an unknown mode", { ...AUTH, AUTH_MODE: "of" }, /AUTH_MODE must be verify or iap or off, not "of"/],
  [
    "an account that is no email",
    { ...AUTH, AUTH_SERVICE_ACCOUNTS: "example.com" },
    /AUTH_SERVICE_ACCOUNTS must be an email/,
  ],
  [
    "a wildcard inside an email",
    { ...AUTH, AUTH_SERVICE_ACCOUNTS: "*@example.com" },
    /AUTH_SERVICE_ACCOUNTS must be an email/,
  ],
  ["a public path with an escape", { AUTH_PUBLIC_PATHS: "/a%2fb" }, /AUTH_PUBLIC_PATHS must be a plain path/],
  ["a public path with dots", { AUTH_PUBLIC_PATHS: "/a/../b" }, /AUTH_PUBLIC_PATHS must be a plain path/],
  ["a public path without a slash", { AUTH_PUBLIC_PATHS: "ping" }, /AUTH_PUBLIC_PATHS must be a plain path/],
  ...[
    "//ping",
    "/..",
    "/.",
    "/../a",
    "/./a",
    "/a/..",
    "/a/",
    "/a;x",
    "/a/..;/b",
    "/a?b",
    "/a b",
    "/a//",
    "//",
  ].map((path): [string, Record<string, string>, RegExp] => [
    `${path} as a public path`,
    { AUTH_PUBLIC_PATHS: path },
    /AUTH_PUBLIC_PATHS must be a plain path/,
  ]),
  [
    "a double slash in a public path",
    { AUTH_PUBLIC_PATHS: "/a//b" },
    /AUTH_PUBLIC_PATHS must be a plain path/,
  ],
  [
    "other keys without their issuer",
    { ...AUTH, AUTH_CERTS_URL: "https://keys.example.com" },
    /AUTH_CERTS_URL is set without AUTH_ISSUERS/,
  ],
  ["a key address that is no URL", { AUTH_CERTS_URL: "keys" }, /AUTH_CERTS_URL must be an http/],
  [
    "a key address with a password, and does not say it again",
    { AUTH_CERTS_URL: "https://user:secret@keys.example.com" },
    /^AUTH_CERTS_URL must not hold a name or a password\.$/,
  ],
  [
    "everybody beside somebody",
    { ...AUTH, AUTH_SERVICE_ACCOUNTS: "a@example.com,*" },
    /AUTH_SERVICE_ACCOUNTS names \* beside others/,
  ],
  ["a list of issuers that names none", { ...AUTH, AUTH_ISSUERS: "," }, /AUTH_ISSUERS names nobody/],
  ["a port out of range", { PORT: "65536" }, /PORT must be a whole number from 0 to 65535/],
  ["a port that is a word", { PORT: "http" }, /PORT must be/],
  ["a port in hexadecimal", { PORT: "0x50" }, /PORT must be/],
  ["the admin port on the public one", { PORT: "7000", ADMIN_PORT: "7000" }, /ADMIN_PORT must differ/],
  ["an upstream without a port", { HTTP_UPSTREAMS: "http://a" }, /HTTP_UPSTREAMS must be http:\/\/host:port/],
  ["an upstream with a path", { HTTP_UPSTREAMS: "http://a:1/x" }, /HTTP_UPSTREAMS must be/],
  ["an upstream of the wrong protocol", { GRPC_UPSTREAMS: "ws://a:1" }, /GRPC_UPSTREAMS must be h2c/],
  ["no upstream", { WS_UPSTREAMS: "," }, /WS_UPSTREAMS names no upstream, and does not say none/],
  ["none among others", { WS_UPSTREAMS: "none,http://a:1" }, /WS_UPSTREAMS must be/],
  [
    "a check that is none",
    { HTTP_HEALTH_CHECK: "get" },
    /HTTP_HEALTH_CHECK must be off or tcp or http:\/path/,
  ],
  ["a check that does not suit HTTP", { HTTP_HEALTH_CHECK: "grpc" }, /HTTP_HEALTH_CHECK must be/],
  ["a check that does not suit gRPC", { GRPC_HEALTH_CHECK: "http:/ping" }, /GRPC_HEALTH_CHECK must be/],
  ["a check that does not suit WebSocket", { WS_HEALTH_CHECK: "grpc" }, /WS_HEALTH_CHECK must be/],
  [
    "an ejection that is longer than the longest",
    { EJECT_MS: "2000", EJECT_MAX_MS: "1000" },
    /EJECT_MAX_MS must not be less than EJECT_MS/,
  ],
  [
    "a path behind a name",
    { HTTP_UPSTREAMS: "https://a.run.app/x" },
    /HTTP_UPSTREAMS must be http.* or https:/,
  ],
  ["a name with a password", { HTTP_UPSTREAMS: "https://a:b@a.run.app" }, /HTTP_UPSTREAMS must be/],
  ["a name with port 0", { GRPC_UPSTREAMS: "https://a.run.app:0" }, /GRPC_UPSTREAMS must be/],
  ["one name in two spellings", { WS_UPSTREAMS: "https://A.app,https://a.app:443/" }, /names https:.* twice/],
  [
    "an audience that nobody gets",
    { UPSTREAM_AUDIENCE: "https://a" },
    /UPSTREAM_AUDIENCE needs UPSTREAM_AUTH=google/,
  ],
  [
    "an audience and no tokens",
    { UPSTREAM_AUDIENCE: "https://a", UPSTREAM_AUTH: "off" },
    /UPSTREAM_AUDIENCE needs UPSTREAM_AUTH=google/,
  ],
  [
    "an audience that changes the address it is put into",
    { UPSTREAM_AUDIENCE: "https://a&format=full", UPSTREAM_AUTH: "google" },
    /UPSTREAM_AUDIENCE must be an audience/,
  ],
  [
    "a misspelt way to say who the edge is",
    { UPSTREAM_AUTH: "on" },
    /UPSTREAM_AUTH must be auto or google or off/,
  ],
  ["no upstream", { WS_UPSTREAMS: "," }, /WS_UPSTREAMS names no upstream/],
  [
    "no process",
    { EDGE_PROCESSES: "0" },
    /EDGE_PROCESSES must be auto or a whole number from 1 to 64, not "0"/,
  ],
  ["too many processes", { EDGE_PROCESSES: "65" }, /EDGE_PROCESSES must be auto or/],
  [
    "a misspelt part of log lines",
    { LOG_REQUESTS: "1%" },
    /LOG_REQUESTS must be all or errors or off or a part such as 0\.01 or a rate such as 1000\/s, not "1%"/,
  ],
  ["more than all log lines", { LOG_REQUESTS: "1.5" }, /LOG_REQUESTS must be/],
  ["no log line a second", { LOG_REQUESTS: "0/s" }, /LOG_REQUESTS must be/],
  [
    "a project that is no id",
    { GOOGLE_CLOUD_PROJECT: "a/b" },
    /GOOGLE_CLOUD_PROJECT must be the id of a project/,
  ],
  ["a misspelt auto", { EDGE_PROCESSES: "Auto" }, /EDGE_PROCESSES must be auto or/],
  ["no origin", { WEBSOCKET_ORIGINS: "," }, /WEBSOCKET_ORIGINS names no origin/],
  ["every origin beside others", { WEBSOCKET_ORIGINS: "same,*" }, /WEBSOCKET_ORIGINS names \* beside others/],
  ...[
    "app.example.com",
    "https://a.example.com/",
    "https://a.example.com/x",
    "https://",
    "https://*",
    "https://*.com",
    "https://*a.example.com",
    "https://a.*.com",
    "*.example.com",
    "null",
    "none",
    "https://a@b.c",
    "https://a:b",
    "//a",
  ].map((origin): [string, Record<string, string>, RegExp] => [
    `${origin} as an origin`,
    { WEBSOCKET_ORIGINS: origin },
    /WEBSOCKET_ORIGINS must be same, \*, or an origin such as https:/,
  ]),
  [
    "a misspelt setting",
    { AUTH_AUDIENC: "x" },
    /AUTH_AUDIENC is not a setting; did you mean AUTH_AUDIENCE\?/,
  ],
  ["a misspelt worker", { HTTP_WORKER_COMAND: "x" }, /did you mean HTTP_WORKER_COMMAND\?/],
  ["a misspelt number of workers", { GRPC_WORKER: "2" }, /did you mean GRPC_WORKERS\?/],
  ["a setting in small letters", { auth_audience: "x" }, /did you mean AUTH_AUDIENCE\?/],
  ["a misspelt public path list", { AUTH_PUBLIC_PATH: "/x" }, /did you mean AUTH_PUBLIC_PATHS\?/],
];
for (const [why, env, mistake] of refused) {
  test(`refuses ${why}`, () =>
    assert.ok(
      mistakes(env).some((line) => mistake.test(line)),
      mistakes(env).join("\n"),
    ));
}

test("names all mistakes at once", () => {
  assert.equal(mistakes({ PORT: "x", ADMIN_PORT: "y", AUTH_AUDIENCE: "z" }).length, 3);
});

const accepted: [why: string, env: Record<string, string>, fits: (config: Config) => boolean][] = [
  [
    "nothing: port 8080, no authentication",
    {},
    (c) => c.port === 8080 && c.authMode === "off" && c.adminPort === 9090,
  ],
  ["an audience with an allow-list: verify", AUTH, (c) => c.authMode === "verify"],
  [
    "Cloud Run with authentication",
    { ...AUTH, K_SERVICE: "api" },
    (c) => c.authMode === "verify" && c.trustedHops === 1,
  ],
  ["Cloud Run, explicitly open", { K_SERVICE: "api", AUTH_MODE: "off" }, (c) => c.authMode === "off"],
  ["IAP", { ...AUTH, AUTH_MODE: "iap" }, (c) => c.authMode === "iap"],
  [
    "emails in any letters",
    { ...AUTH, AUTH_SERVICE_ACCOUNTS: "A@Example.com" },
    (c) => c.accounts?.[0] === "a@example.com",
  ],
  ["origins: every page's without IAP", AUTH, (c) => c.webSocketOrigins.join() === "*"],
  [
    "origins: the same host's with IAP, whose cookie goes with any page's handshake",
    { ...AUTH, AUTH_MODE: "iap" },
    (c) => c.webSocketOrigins.join() === "same",
  ],
  [
    "every page's with IAP, where that is said",
    { ...AUTH, AUTH_MODE: "iap", WEBSOCKET_ORIGINS: "*" },
    (c) => c.webSocketOrigins.join() === "*",
  ],
  [
    "origins in any letters, with a port that goes without saying",
    {
      WEBSOCKET_ORIGINS:
        "same, HTTPS://App.Example.com:443,http://localhost:3000,https://*.example.com,capacitor://localhost",
    },
    (c) =>
      c.webSocketOrigins.join() ===
      "same,https://app.example.com,http://localhost:3000,https://*.example.com,capacitor://localhost",
  ],
  ["no public path at all", { AUTH_PUBLIC_PATHS: "" }, (c) => c.publicPaths.length === 0],
  [
    "public paths",
    { AUTH_PUBLIC_PATHS: "/,/ping,/a.b/..c/.well-known" },
    (c) => c.publicPaths.join() === "/,/ping,/a.b/..c/.well-known",
  ],
  ["an empty value as unset", { PORT: "" }, (c) => c.port === 8080],
  ["several processes", { EDGE_PROCESSES: "4" }, (c) => c.edgeProcesses === 4],
  ["a process per CPU", { EDGE_PROCESSES: "auto" }, (c) => c.edgeProcesses === "auto"],
  ["PORT=9090, and moves the admin port", { PORT: "9090" }, (c) => c.adminPort === 9091],
  [
    "several upstreams",
    { HTTP_UPSTREAMS: "http://a:1, unix:/tmp/x,http://[::1]:2" },
    (c) => c.httpUpstreams.map((a) => a.name).join() === "http://a:1,unix:/tmp/x,http://[::1]:2",
  ],
  [
    "a check for each protocol",
    { HTTP_HEALTH_CHECK: "http:/ping", GRPC_HEALTH_CHECK: "grpc:Echo", WS_HEALTH_CHECK: "websocket:/ws" },
    (c) =>
      [c.httpHealthCheck, c.grpcHealthCheck, c.wsHealthCheck].map(({ kind }) => kind).join() ===
      "http,grpc,websocket",
  ],
  [
    "workers with names, over TLS",
    {
      HTTP_UPSTREAMS: "https://A-b.run.app",
      GRPC_UPSTREAMS: "https://a:8443/",
      WS_UPSTREAMS: "https://[::1]:9",
    },
    (c) =>
      [c.httpUpstreams, c.grpcUpstreams, c.wsUpstreams]
        .flat()
        .map((a) => a.name)
        .join() === "https://a-b.run.app,https://a:8443,https://[::1]:9",
  ],
  [
    "a name's parts",
    { GRPC_UPSTREAMS: "https://[::1]" },
    ({ grpcUpstreams: [a] }) =>
      a?.kind === "tls" && a.host === "::1" && a.port === 443 && a.authority === "[::1]" && a.alpn === "h2",
  ],
  ["nothing: tokens for Cloud Run alone", {}, (c) => c.upstreamAuth === "auto"],
  ["a program's own AUTH_ variable", { AUTH_SECRET: "x" }, (c) => c.authMode === "off"],
];
for (const [why, env, fits] of accepted) test(`accepts ${why}`, () => assert.ok(fits(readConfig(env))));

for (const [given, want] of [
  [undefined, { perSecond: 1000 }],
  ["all", "all"],
  ["off", "off"],
  ["50/s", { perSecond: 50 }],
  ["0.01", 0.01],
  [".5", 0.5],
  ["1", 1],
] as const) {
  test(`LOG_REQUESTS=${given}`, () =>
    assert.deepEqual(readConfig(given === undefined ? {} : { LOG_REQUESTS: given }).logRequests, want));
}

test("the settings of the start that are known here are those of the start", () => {
  assert.deepEqual(
    new Set(START_SETTINGS),
    new Set(WORKERS.flatMap(({ count, command }) => [count, command])),
  );
});
