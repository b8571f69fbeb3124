// The edge in front of three services, each the example worker alone behind a TLS front end nobody here wrote, which wants to
// know who asks: as on Cloud Run.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { before, test } from "node:test";
import { freePort } from "../../support/family.ts";
import { haproxy, startHaproxy } from "../../support/haproxy.ts";
import { MetadataServer } from "../../support/metadata.ts";
import { runScript } from "../../support/processes.ts";
import { startWorker } from "../../support/stack.ts";
import { suiteScope } from "../../support/suite.ts";
import { trust } from "../../support/tls.ts";

const suite = suiteScope();
const { authority, good } = trust();
let folder: string;
before(() => {
  folder = mkdtempSync("/tmp/oneport-test-");
  suite.after(() => rmSync(folder, { recursive: true }));
  writeFileSync(`${folder}/ca.pem`, authority.cert);
  writeFileSync(`${folder}/both.pem`, good.cert + good.key);
});

/** A front end for each: TLS, HTTP/2 where it is asked for, nobody without a token, and the token is taken away. */
function configuration(services: readonly (readonly [port: number, to: number, options: string])[]): string {
  const one = services.map(
    ([port, to, options], at) => `frontend front${at}
  bind 127.0.0.1:${port} ssl crt ${folder}/both.pem alpn h2,http/1.1
  http-request deny deny_status 403 unless { req.hdr(x-serverless-authorization) -m beg Bearer }
  http-request deny deny_status 404 unless { req.hdr(host) -m str localhost:${port} }
  http-request del-header x-serverless-authorization
  default_backend back${at}
backend back${at}
  server worker 127.0.0.2:${to} ${options}
`,
  );
  return one.join("");
}

test(
  "HAProxy's TLS in front of three workers of their own: npm run smoke passes through the edge",
  { skip: haproxy === undefined && "haproxy is not installed" },
  async (t) => {
    // All interfaces, as a container's port has to be: 127.0.0.1 alone would not answer on 127.0.0.2.
    const env = { HOST: "0.0.0.0" };
    const [http, grpc, ws] = await Promise.all([
      startWorker(t, "http", env),
      startWorker(t, "grpc", env),
      startWorker(t, "ws", env),
    ]);
    const [httpPort, grpcPort, wsPort] = [await freePort(), await freePort(), await freePort()];
    const sections = configuration([
      [httpPort, http, ""],
      [grpcPort, grpc, "proto h2"],
      [wsPort, ws, ""],
    ]);
    await startHaproxy(t, sections, [httpPort, grpcPort, wsPort]);
    const metadata = new MetadataServer();
    const edge = runScript(t, "edge/main.ts", [], {
      PORT: "0",
      ADMIN_PORT: "0",
      LOG_FORMAT: "json",
      HTTP_UPSTREAMS: `https://localhost:${httpPort}`,
      GRPC_UPSTREAMS: `https://localhost:${grpcPort}`,
      WS_UPSTREAMS: `https://localhost:${wsPort}`,
      UPSTREAM_AUTH: "google",
      NODE_EXTRA_CA_CERTS: `${folder}/ca.pem`,
      GCE_METADATA_HOST: await metadata.start(t),
    });
    const [, port] = await edge.says(/"port":(\d+)/);
    const smoke = runScript(t, "scripts/smoke.ts", ["--server", `http://127.0.0.1:${port}`]);
    const { code } = await smoke.exited;
    assert.equal(code, 0, smoke.out + smoke.err);
    assert.match(smoke.out, /all 10 passed/);
  },
);
