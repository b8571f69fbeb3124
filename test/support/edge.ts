import type { TestContext } from "node:test";
import { readConfig } from "../../edge/settings/config.ts";
import type { OpenEdge } from "../../edge/edge.ts";
import { startEdge } from "../../edge/edge.ts";
import { createLog } from "../../edge/observe/log.ts";

export interface TestEdge {
  readonly port: number;
  readonly url: string;
  readonly edge: OpenEdge;
  /** Log lines so far, parsed. */
  readonly lines: Record<string, unknown>[];
  /** Resolves with the first log line, past or future, that fits. */
  logged(fits: (line: Record<string, unknown>) => boolean): Promise<Record<string, unknown>>;
}

/** The edge in this process, on a free port; upstreams that are not given are dead ends. */
export async function testEdge(
  t: Pick<TestContext, "after">,
  env: Record<string, string>,
): Promise<TestEdge> {
  const lines: Record<string, unknown>[] = [];
  let waiting: (() => void)[] = [];
  const write = (line: Buffer): void => {
    lines.push(JSON.parse(line.toString()) as Record<string, unknown>);
    for (const resolve of waiting.splice(0)) resolve();
  };
  const log = createLog({ level: "debug", format: "json" }, { write, flush: () => {}, dropped: 0 });
  const given = [env["HTTP_UPSTREAMS"], env["GRPC_UPSTREAMS"], env["WS_UPSTREAMS"]].find(
    (text) => text !== undefined,
  );
  const port = /:(\d+)(,|$)/.exec(given ?? "")?.[1];
  const any = given?.startsWith("unix:") === true ? (given.split(",")[0] ?? "") : undefined;
  const config = readConfig({
    PORT: "0",
    ADMIN_PORT: "0",
    STARTUP_SECONDS: "5",
    // The edge waits until every upstream answers, so those a test does not use point at one that does.
    HTTP_UPSTREAMS: any ?? `http://127.0.0.1:${port}`,
    GRPC_UPSTREAMS: any ?? `h2c://127.0.0.1:${port}`,
    WS_UPSTREAMS: any ?? `http://127.0.0.1:${port}`,
    ...env,
  });
  const edge = await startEdge(config, log, new AbortController().signal);
  t.after(() => edge.destroy());
  return {
    port: edge.port,
    url: `http://127.0.0.1:${edge.port}`,
    edge,
    lines,
    async logged(fits) {
      for (;;) {
        const line = lines.find(fits);
        if (line !== undefined) return line;
        await new Promise<void>((resolve) => (waiting = [...waiting, resolve]));
      }
    },
  };
}
