import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { before, test } from "node:test";
import type { TestContext } from "node:test";
import { endFamily, family, freePort } from "../support/family.ts";
import { Program, ROOT, runScript } from "../support/processes.ts";
import { suiteScope } from "../support/suite.ts";
import { httpsWorker, trust } from "../support/tls.ts";
import { httpWorker } from "../support/workers.ts";

interface Loaded {
  readonly program: string;
  readonly undici: boolean;
  readonly files: readonly string[];
}

const suite = suiteScope();
let worker: string;
before(async () => {
  worker = await httpWorker(suite, (_req, res) => void res.end("ok"));
});

/** Starts an edge, asks for /ping once, stops it; answers what each of its processes had loaded. */
async function loadedBy(t: TestContext, env: Record<string, string>): Promise<Loaded[]> {
  const port = await freePort();
  const edge = new Program(
    process.execPath,
    ["--import", `${ROOT}test/support/loaded.mjs`, `${ROOT}edge/main.ts`],
    {
      PORT: String(port),
      ADMIN_PORT: "0",
      LOG_FORMAT: "json",
      HTTP_UPSTREAMS: worker,
      GRPC_UPSTREAMS: worker.replace("http:", "h2c:"),
      WS_UPSTREAMS: worker,
      ...env,
    },
  );
  t.after(() => edge.stop("SIGKILL"));
  await edge.says(/"message":"ready"/);
  assert.equal((await fetch(`http://127.0.0.1:${port}/ping`)).status, 200);
  assert.equal(await edge.stop(), 0);
  return edge.err
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Loaded);
}

/** The packages a process loaded, each once. */
function packages({ files }: Loaded): string[] {
  const names = files.map((file) => /\/node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(file)?.[1]);
  return [...new Set(names.filter((name) => name !== undefined))];
}

/** What belongs to workers and scripts, or is for later, and would cost every start. */
const HEAVY =
  /^(google-auth-library|gaxios|gtoken|@grpc\/.*|@bufbuild\/.*|grpc-.*|prom-client|express|ws|concurrently|rxjs|protobufjs)$/;

const AUTH = { AUTH_AUDIENCE: "https://api.example.com", AUTH_SERVICE_ACCOUNTS: "*" };
for (const [what, env] of [
  ["without authentication", {}],
  ["with authentication, before the first token", AUTH],
  ["in front of a worker over TLS that need not know who asks", undefined],
] as const) {
  test(`an edge ${what} loads neither undici nor a package of the workers`, async (t) => {
    const [loaded, ...others] = await loadedBy(t, env ?? (await overTls(t)));
    assert.deepEqual(others, []);
    assert.equal(loaded?.undici, false);
    assert.deepEqual(
      packages(loaded).filter((name) => HEAVY.test(name)),
      [],
    );
    assert.deepEqual(
      loaded.files.filter((file) => /\/(services|scripts|processes)\//.test(file)),
      [],
    );
  });
}

async function overTls(t: TestContext): Promise<Record<string, string>> {
  const { authority, good } = trust();
  const folder = mkdtempSync(join(tmpdir(), "oneport-test-"));
  t.after(() => rmSync(folder, { recursive: true }));
  writeFileSync(join(folder, "ca.pem"), authority.cert);
  const { port } = await httpsWorker(t, good, (_req, res) => void res.end("ok"));
  return { HTTP_UPSTREAMS: `https://localhost:${port}`, NODE_EXTRA_CA_CERTS: join(folder, "ca.pem") };
}

test("the parent of several processes loads nothing of the data path", async (t) => {
  const all = await loadedBy(t, { EDGE_PROCESSES: "2" });
  assert.equal(all.length, 3);
  const parent = all.find(({ program }) => program.endsWith("edge/main.ts"));
  assert.deepEqual(
    parent?.files.filter((file) =>
      /\/edge\/(edge|handle|server|http1|http2|proxy|upstream\/(http1|pool|session)|auth)\b/.test(file),
    ),
    [],
  );
  assert.deepEqual(
    all.map(({ undici }) => undici),
    [false, false, false],
  );
});

test("warm.ts starts everything once and leaves what was compiled in NODE_COMPILE_CACHE", async (t) => {
  const folder = mkdtempSync(join(tmpdir(), "oneport-test-"));
  const port = await freePort();
  const mark = `${process.pid}-${port}`;
  t.after(() => {
    endFamily(mark);
    rmSync(folder, { recursive: true });
  });
  const env = { NODE_COMPILE_CACHE: folder, PORT: String(port), ADMIN_PORT: "0", TEST_MARK: mark };
  const warm = runScript(t, "scripts/start/warm.ts", [], env);
  assert.equal((await warm.exited).code, 0, warm.err);
  assert.deepEqual(family(mark), []);
  const [version = ""] = readdirSync(folder);
  assert.ok(readdirSync(join(folder, version)).length > 100);
});

test("warm.ts fails when what it starts does: such an image is not built", async (t) => {
  const warm = runScript(t, "scripts/start/warm.ts", [], { PORT: "none" });
  assert.equal((await warm.exited).code, 1);
  assert.match(warm.err, /PORT must be/);
});
