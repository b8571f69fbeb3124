// Each example, started by the command in its README: alone, and behind the edge.
import assert from "node:assert/strict";
import { once } from "node:events";
import { globSync, readFileSync } from "node:fs";
import { after, before, describe, test } from "node:test";
import type { TestContext } from "node:test";
import { Metadata } from "@grpc/grpc-js";
import { address } from "../edge/settings/parse.ts";
import { untilReachable } from "../edge/upstream/reachable.ts";
import { Issuer } from "../scripts/token/issuer.ts";
import { EMAIL, OPTIONS, settings } from "./support/auth.ts";
import { family, freePort } from "./support/family.ts";
import { echoClient, ping } from "./support/grpc.ts";
import { Program, ROOT, output } from "./support/processes.ts";
import { start } from "./support/start.ts";
import { nextMessage, openWebSocket } from "./support/websockets.ts";

/** An example: how one sees that what it needs is installed, and what it serves. */
const EXAMPLES: readonly (readonly [folder: string, installed: string, protocols: readonly Protocol[]])[] = [
  ["express", "true", ["HTTP"]],
  ["fastify", "true", ["HTTP"]],
  ["ws-node", "true", ["WS"]],
  ["python", "python3 --version", ["HTTP"]],
  ["fastapi", "uvicorn --version && python3 -c 'import fastapi, websockets'", ["HTTP", "WS"]],
  ["grpc-node", "true", ["GRPC"]],
  ["grpc-python", "python3 -c 'import grpc, grpc_tools'", ["GRPC"]],
  ["go", "go version", ["HTTP"]],
];

type Protocol = "HTTP" | "GRPC" | "WS";

/** What Go may take the first time, when it compiles its standard library. */
const COMPILE_MS = 180_000;

/** Debian's Python first: it is the one that has Debian's packages. Node stays the one that runs this. */
const ENVIRONMENT = { PATH: `${ROOT}node_modules/.bin:/usr/bin:${process.env["PATH"]}:/usr/local/go/bin` };

/** What each protocol's worker says of who is calling. */
const ASK: Readonly<Record<Protocol, (t: TestContext, port: number, token: string) => Promise<unknown>>> = {
  async HTTP(_t, port, token) {
    const url = `http://127.0.0.1:${port}`;
    const pong = await fetch(`${url}/ping`);
    assert.deepEqual(await pong.json(), { message: "pong" });
    const stranger = await fetch(url, { headers: { "x-auth-email": EMAIL } });
    assert.equal(stranger.status, 401);
    const headers = { authorization: `Bearer ${token}`, "x-auth-email": "forged@example.com" };
    return ((await (await fetch(url, { headers })).json()) as { hello: string }).hello;
  },
  async GRPC(t, port, token) {
    const metadata = new Metadata();
    metadata.set("authorization", `Bearer ${token}`);
    const { reply, error } = await ping(echoClient(t, port), metadata);
    assert.equal(error, undefined);
    return reply?.message.replace("hello ", "");
  },
  async WS(t, port, token) {
    const socket = openWebSocket(t, port, [], { headers: { authorization: `Bearer ${token}` } });
    await once(socket, "open");
    socket.send("hi");
    const { hello, message } = JSON.parse(await nextMessage(socket)) as { hello: string; message: string };
    assert.equal(message, "hi");
    socket.terminate();
    return hello;
  },
};

/** Runs a line as a person would. */
function shell(line: string): Promise<Program> {
  return output("/bin/sh", ["-c", line], ENVIRONMENT);
}

async function succeeds(line: string): Promise<void> {
  const { exited, err } = await shell(line);
  assert.equal((await exited).code, 0, err);
}

/** What is not installed: asked before the first test, all at once. */
const missing = new Set<string>();
await Promise.all(
  new Set(EXAMPLES.map(([, installed]) => installed)).values().map(async (installed) => {
    const { code } = await (await shell(installed)).exited;
    if (code !== 0) missing.add(installed);
  }),
);

const issuer = new Issuer();
before(() => issuer.listen());
after(() => issuer.close());

/** The lines before the one that starts oneport, and the settings in that one. */
function documented(folder: string): { prepare: string; env: Record<string, string> } {
  const text = readFileSync(`${ROOT}examples/${folder}/README.md`, "utf8");
  const block = /```sh\n([\s\S]*? npm start)\n```/.exec(text)?.[1]?.replaceAll("\\\n", "") ?? "";
  const lines = block.split("\n");
  const env = Object.fromEntries(
    [...(lines.at(-1) ?? "").matchAll(/([A-Z_]+)=(?:'([^']*)'|(\S+))/g)].map(([, name, quoted, bare]) => [
      name,
      quoted ?? bare,
    ]),
  ) as Record<string, string>;
  return { prepare: lines.slice(0, -1).join("\n"), env };
}

test("every example is tested", () => {
  const folders = globSync("*/README.md", { cwd: `${ROOT}examples` }).map((file) => file.split("/")[0]);
  assert.deepEqual(
    folders.filter((folder) => folder !== "base-image").toSorted(),
    EXAMPLES.map(([folder]) => folder).toSorted(),
  );
});

// A test here mostly waits for programs to start.
describe("examples", { concurrency: 3 }, () => {
  for (const [folder, installed, protocols] of EXAMPLES) {
    const skip = missing.has(installed) ? `this fails: ${installed}` : false;
    const { prepare, env } = documented(folder);
    let prepared: Promise<void> | undefined;
    const prepareOnce = (): Promise<void> => (prepared ??= succeeds(prepare));

    test(
      `examples/${folder}: behind the edge it hears who is calling`,
      { skip, timeout: COMPILE_MS },
      async (t) => {
        await prepareOnce();
        assert.deepEqual(
          Object.keys(env).map((name) => name.split("_")[0]),
          protocols,
        );
        const others = (["HTTP", "GRPC", "WS"] as const).filter((protocol) => !protocols.includes(protocol));
        const { program, port, mark } = await start(t, {
          ...ENVIRONMENT,
          ...settings("", issuer),
          ...Object.fromEntries(others.map((protocol) => [`${protocol}_UPSTREAMS`, "none"])),
          ...env,
        });
        await program.says(/"message":"ready"/);
        for (const protocol of protocols) {
          assert.equal(await ASK[protocol](t, port, issuer.mint(OPTIONS)), EMAIL);
        }
        assert.equal(await program.stop(), 0);
        assert.deepEqual(family(mark), []);
      },
    );

    test(
      `examples/${folder}: SIGTERM ends it by itself, exit 0`,
      { skip, timeout: COMPILE_MS },
      async (t) => {
        await prepareOnce();
        const port = await freePort();
        const command = Object.values(env)[0] ?? "";
        const worker = new Program("/bin/sh", ["-c", command], { ...ENVIRONMENT, PORT: String(port) });
        t.after(() => worker.stop("SIGKILL"));
        const ended = new AbortController();
        void worker.exited.then(() => ended.abort(new Error(worker.err)));
        await untilReachable(address("http")(`http://127.0.0.1:${port}`), 1000, ended.signal);
        assert.equal(await worker.stop(), 0, worker.err);
      },
    );
  }
});
