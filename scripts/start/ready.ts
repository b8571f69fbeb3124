import type { Config } from "../../edge/settings/config.ts";
import { WORKERS } from "./plan.ts";

type Protocol = (typeof WORKERS)[number]["protocol"];

/** Protocols that a program of the user's own serves, here or elsewhere: what the example workers answer to is not known of them. */
export function replacedProtocols(env: Readonly<Record<string, string | undefined>>): ReadonlySet<Protocol> {
  const isSet = (name: string): boolean => !["", "none"].includes(env[name]?.trim() ?? "");
  return new Set(
    WORKERS.filter(({ command, upstreams }) => isSet(command) || isSet(upstreams)).map(
      ({ protocol }) => protocol,
    ),
  );
}

/** What a person sees once the port is open: one line to copy for each protocol. */
export function readyBlock(port: number, config: Config, replaced: ReadonlySet<Protocol>): string {
  const secured = config.authMode === "verify";
  const bearer = secured ? ' -H "authorization: Bearer $TOKEN"' : "";
  const at = port === 8080 ? "" : ` -- --server http://localhost:${port}`;
  const token = secured ? `${at === "" ? " --" : ""} --token $TOKEN` : "";
  const http = `curl${bearer} http://localhost:${port}`;
  const grpc = `grpcurl -plaintext${bearer} localhost:${port}`;
  const ws = `npx wscat${bearer} -c ws://localhost:${port}`;
  const lines = [
    ["http", config.httpUpstreams, `HTTP       ${http}`, "/ping", "/"],
    ["grpc", config.grpcUpstreams, `gRPC       ${grpc}`, " Echo/Ping", " list"],
    ["ws", config.wsUpstreams, `WebSocket  ${ws}`, '/ws      then type {"message":"hello"}', "/"],
  ] as const;
  const served = lines
    .filter(([, upstreams]) => upstreams.length > 0)
    .map(([protocol, , line, example, own]) => `  ${line}${replaced.has(protocol) ? own : example}\n`);
  const check = replaced.size === 0 ? "smoke" : "doctor";
  const admin =
    config.adminPort === 0 ? "" : `  admin      curl http://localhost:${config.adminPort}/upstreams\n`;
  return `
  oneport is ready on port ${port} (authentication: ${config.authMode})

${served.join("")}  all        npm run ${check}${at}${token}
${admin}
`;
}
