import assert from "node:assert/strict";
import { once } from "node:events";
import type { Server as HttpServer } from "node:http";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import type { TestContext } from "node:test";
import { Server, ServerCredentials } from "@grpc/grpc-js";
import type { Wanted } from "../../scripts/doctor/diagnose.ts";
import { diagnose } from "../../scripts/doctor/diagnose.ts";
import type { Finding } from "../../scripts/doctor/finding.ts";
import type { Site } from "../../scripts/doctor/site.ts";
import { serviceDefinition } from "../../services/grpc/definition.ts";
import { echo } from "../../services/grpc/echo.ts";
import { Echo } from "../../services/grpc/gen/echo_pb.ts";
import { createApp } from "../../services/http/app.ts";
import { attachWebSockets } from "../../services/ws/sockets.ts";
import { httpWorker } from "./workers.ts";

export function site(port: number, more: Partial<Site> = {}): Site {
  return { url: new URL(`http://127.0.0.1:${port}`), timeoutMs: 10_000, wsPath: "/ws", ...more };
}

/** The diagnosis of what listens there. */
export async function doctor(
  port: number,
  more: Partial<Site> = {},
  wanted: Partial<Wanted> = {},
): Promise<Diagnosis> {
  return new Diagnosis(await diagnose(site(port, more), { holdSeconds: 0, large: false, ...wanted }));
}

export class Diagnosis {
  readonly findings: readonly Finding[];

  constructor(findings: readonly Finding[]) {
    this.findings = findings;
  }

  /** These checks, and no others, came to this verdict. */
  only(verdict: Finding["verdict"], checks: readonly string[]): void {
    const found = this.findings.filter((finding) => finding.verdict === verdict);
    assert.deepEqual(
      found.map(({ check }) => check),
      checks,
      JSON.stringify(found),
    );
  }

  of(check: string): Finding {
    const found = this.findings.find((finding) => finding.check === check);
    assert.ok(found, `${check} in ${JSON.stringify(this.findings)}`);
    return found;
  }

  failed(check: string, saw: RegExp, change: RegExp): void {
    const found = this.of(check);
    assert.equal(found.verdict, "failed", JSON.stringify(found));
    assert.match(found.saw, saw);
    assert.match(found.change ?? "", change);
  }

  allIsWell(): void {
    assert.deepEqual(
      this.findings.filter(({ verdict }) => verdict !== "ok"),
      [],
    );
  }
}

/** The example workers in this process, where their own one is nothing that is tested: the settings by which an edge finds them. */
export async function workersHere(t: Pick<TestContext, "after">): Promise<Record<string, string>> {
  const sockets = createServer();
  const attached = attachWebSockets(sockets);
  const calls = new Server();
  calls.addService(serviceDefinition(Echo), echo);
  const grpc = await new Promise<number>((resolve, reject) =>
    calls.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, port) =>
      error === null ? resolve(port) : reject(error),
    ),
  );
  const ws = await listening(sockets);
  t.after(() => {
    attached.close(() => {});
    sockets.close();
    sockets.closeAllConnections();
    calls.forceShutdown();
  });
  return {
    HTTP_UPSTREAMS: await httpWorker(t, createApp()),
    GRPC_UPSTREAMS: `h2c://127.0.0.1:${grpc}`,
    WS_UPSTREAMS: `http://127.0.0.1:${ws}`,
  };
}

async function listening(server: HttpServer): Promise<number> {
  await once(server.listen(0, "127.0.0.1"), "listening");
  return (server.address() as AddressInfo).port;
}
