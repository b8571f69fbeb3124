import type { Config } from "../../edge/config.ts";

/** What a person sees once the port is open: one line to copy for each protocol. */
export function readyBlock(port: number, config: Config): string {
  const secured = config.authMode === "verify";
  const bearer = secured ? ' -H "authorization: Bearer $TOKEN"' : "";
  const smoke = secured ? " -- --token $TOKEN" : "";
  const lines = [
    ["httpUpstreams", `HTTP       curl${bearer} http://localhost:${port}/ping`],
    ["grpcUpstreams", `gRPC       grpcurl -plaintext${bearer} localhost:${port} Echo/Ping`],
    [
      "wsUpstreams",
      `WebSocket  npx wscat${bearer} -c ws://localhost:${port}/ws      then type {"message":"hello"}`,
    ],
  ] as const;
  const served = lines.filter(([upstreams]) => config[upstreams].length > 0).map(([, line]) => `  ${line}\n`);
  return `
  oneport is ready on port ${port} (authentication: ${config.authMode})

${served.join("")}  all        ${port === 8080 ? "" : `PORT=${port} `}npm run smoke${smoke}

`;
}
