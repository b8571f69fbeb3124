import { spawn } from "node:child_process";
import { once } from "node:events";
import { parseArgs } from "node:util";
import { whenOrphaned } from "./start/orphaned.ts";
import { Issuer } from "./token/issuer.ts";

const ISSUER_PORT = 9099;
const AUDIENCE = "http://localhost:8080";
const EMAIL = "me@oneport.example";

const HELP = `Usage: npm run token -- start [--email E]          terminal 1: an issuer, and oneport that trusts it
       npm run -s token -- mint [options]          terminal 2: prints an ID token

Tries authentication with no Google account: a local issuer mints ID tokens that the edge started with it accepts.

Options of mint:
  --email E        whom the token names (default ${EMAIL}, the one who is allowed)
  --audience A     whom it is for (default ${AUDIENCE})
  --lifetime N     seconds it lasts (default 3600; --lifetime=-60 makes one that has expired)

Both take --issuer-port N (default ${ISSUER_PORT}).
`;

const OPTIONS = {
  help: { type: "boolean", short: "h" },
  email: { type: "string", default: EMAIL },
  audience: { type: "string", default: AUDIENCE },
  lifetime: { type: "string", default: "3600" },
  "issuer-port": { type: "string", default: String(ISSUER_PORT) },
} as const;

process.exitCode = await main();

async function main(): Promise<number> {
  const parsed = parse();
  if (typeof parsed === "string") return complain(parsed);
  const { values, positionals } = parsed;
  if (values.help === true) {
    process.stdout.write(HELP);
    return 0;
  }
  const port = Number(values["issuer-port"]);
  if (!Number.isInteger(port) || port < 1 || port > 65_535)
    return complain("--issuer-port must be a port number");
  if (!/^-?\d{1,9}$/.test(values.lifetime)) return complain("--lifetime must be a number of seconds");
  if (positionals.length !== 1) return complain("say start or mint");
  if (positionals[0] === "start") return start(port, values.email);
  if (positionals[0] === "mint") return mint(port, values);
  return complain(`unknown command ${JSON.stringify(positionals[0])}: say start or mint`);
}

function parse(): ReturnType<typeof parseArgs<{ options: typeof OPTIONS; allowPositionals: true }>> | string {
  try {
    return parseArgs({ options: OPTIONS, allowPositionals: true });
  } catch (thrown) {
    return thrown instanceof Error ? thrown.message : String(thrown);
  }
}

function complain(sentence: string): number {
  process.stderr.write(`${sentence}\n\n${HELP}`);
  return 2;
}

/** The issuer here, oneport as a child with the settings that make it trust this issuer. */
async function start(port: number, email: string): Promise<number> {
  const issuer = new Issuer();
  try {
    await issuer.listen(port);
  } catch {
    process.stderr.write(`port ${port} is in use: choose another with --issuer-port\n`);
    return 1;
  }
  const settings = {
    AUTH_AUDIENCE: AUDIENCE,
    AUTH_SERVICE_ACCOUNTS: email,
    AUTH_CERTS_URL: issuer.certsUrl,
    AUTH_ISSUERS: issuer.issuer,
  };
  process.stdout.write(
    Object.entries(settings)
      .map(([name, value]) => `${name}=${value}\n`)
      .join(""),
  );
  process.stdout.write(
    `\nIn another terminal:  TOKEN=$(npm run -s token -- mint${port === ISSUER_PORT ? "" : ` --issuer-port ${port}`})\n`,
  );
  const child = spawn(process.execPath, [new URL("start.ts", import.meta.url).pathname], {
    stdio: "inherit",
    env: { ...process.env, ...settings },
  });
  // A terminal's Ctrl-C reaches the child by itself; a SIGTERM sent to us has to be passed on.
  process.on("SIGINT", () => {});
  process.on("SIGTERM", () => child.kill("SIGTERM"));
  whenOrphaned(() => child.kill("SIGTERM"));
  const [code] = (await once(child, "exit")) as [number | null];
  await issuer.close();
  return code ?? 1;
}

async function mint(
  port: number,
  { audience, email, lifetime }: Record<"audience" | "email" | "lifetime", string>,
): Promise<number> {
  const query = new URLSearchParams({ audience, email, lifetime });
  try {
    const reply = await fetch(`http://127.0.0.1:${port}/mint?${query}`);
    process.stdout.write(await reply.text());
    return 0;
  } catch {
    process.stderr.write(`no issuer answers on port ${port}: start one with  npm run token -- start\n`);
    return 1;
  }
}
