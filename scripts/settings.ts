import { writeFileSync } from "node:fs";
import { SETTINGS } from "../edge/settings/config.ts";
import { FAILURES } from "../edge/errors.ts";
import { WORKERS } from "./start/plan.ts";

const FILE = new URL("../docs/settings.md", import.meta.url).pathname;
const FAILURES_FILE = new URL("../docs/failures.md", import.meta.url).pathname;

const INTRO = `# Settings

Settings are environment variables. All mistakes in them are printed at once, and the exit code is 2: nothing starts half.
A name that is a letter or two off (AUTH_AUDIENC) is a mistake as well.

This page is made from \`edge/settings/config.ts\` and \`scripts/start/plan.ts\` by \`npm run settings\`; a test keeps it so.
`;

/** docs/settings.md, from the tables that the programs themselves read. */
export function settingsPage(): string {
  const edge = Object.values(SETTINGS).map(
    ({ env, fallback, doc }) =>
      `| \`${env}\` | ${fallback === undefined ? "–" : `\`${fallback}\``} | ${doc} |`,
  );
  const workers = WORKERS.flatMap(({ protocol, count, command, upstreams }) => [
    `| \`${count}\` | \`1\` | Copies of the ${protocol} worker to start, 0 to 32. Without it: 0 when \`${upstreams}\` says that they run elsewhere. |`,
    `| \`${command}\` | – | A line for \`/bin/sh\` that runs instead of the example ${protocol} worker; it gets \`PORT\` (its own) and \`HOST\`. |`,
  ]);
  return `${INTRO}
## The edge (\`node edge/main.ts\`, and through it \`npm start\`)

${table(edge)}

## The workers that \`npm start\` and the image start

${table(workers)}

\`WS_UPSTREAMS=HTTP_WORKERS\` says that the HTTP worker serves WebSockets as well, on the same port; so with any two of the three.

## The example workers alone (\`node services/http/main.ts\` and the like)

${table(["| `PORT` | 8081 http, 8082 grpc, 8083 ws | Where it listens; 0 takes a free port. |", "| `HOST` | `127.0.0.1` | On which address. |"])}
`;
}

/** docs/failures.md, from the table by which the edge answers. */
export function failuresPage(): string {
  const rows = Object.entries(FAILURES).map(
    ([code, { side, http, grpc, close, text }]) =>
      `| \`${code}\` | ${side} | ${http} | ${grpc} | ${close} | ${text} |`,
  );
  return `# What a failure says

When the edge itself answers, HTTP gets the status and \`{"error":"…","message":"…"}\`, gRPC and gRPC-Web the gRPC status, and a WebSocket the HTTP status before the upgrade and the close
code after it. The same code is the \`outcome\` in logs and metrics. Whose fault it is: the client's, the edge's, or a worker's (upstream).

This page is made from \`edge/errors.ts\` by \`npm run settings\`; a test keeps it so.

| code | whose | HTTP | gRPC | close | message, unless there is more to say |
|---|---|---|---|---|---|
${rows.join("\n")}
`;
}

function table(rows: readonly string[]): string {
  return ["| name | default | meaning |", "|---|---|---|", ...rows].join("\n");
}

if (import.meta.main) {
  writeFileSync(FILE, settingsPage());
  writeFileSync(FAILURES_FILE, failuresPage());
}
