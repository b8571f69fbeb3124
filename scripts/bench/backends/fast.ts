import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { Backends, Backing, Served } from "../backends.ts";
import { startOwn } from "../backends.ts";
import type { Call, HttpCall } from "../calls.ts";
import * as calls from "../calls.ts";
import { isOnPath } from "../contender.ts";
import { versionOf } from "../machine.ts";
import { portIsOpen } from "../ports.ts";
import type { Programs } from "../programs.ts";
import { FILE_SUFFIX, prepareNghttpd } from "./nghttpd.ts";
import { prepareNginx } from "./nginx.ts";

/** Milliseconds a backend has to open its port. */
const START_MS = 5000;

/**
 * Backends that answer for next to nothing, so that it is the proxy that is busy. Each call goes to the lightest that can
 * answer it; WebSockets stay with the worker, which is light.
 */
export async function startFast(
  folder: string,
  workers: Backends,
  programs: Programs,
  signal: AbortSignal,
): Promise<Backing> {
  const home = join(folder, "fast");
  await mkdir(home);
  const file = new URL("frames.ts", import.meta.url).pathname;
  const { port } = await startOwn(file, programs, signal);
  const frames: Backends = { ...workers, http: port, grpc: port };
  const start = async (prepared: ReturnType<typeof prepareNginx>): Promise<number> => {
    const { program, port } = await prepared;
    programs.start(program).stdout.resume();
    await portIsOpen(port, AbortSignal.any([signal, AbortSignal.timeout(START_MS)]));
    return port;
  };
  const nghttpd = isOnPath("nghttpd") ? await start(prepareNghttpd(home)) : undefined;
  const nginx = isOnPath("nginx") ? await start(prepareNginx(home)) : undefined;
  return { doc: describe(nghttpd, nginx), serve };

  function serve(call: Call): Served {
    if (isFile(call) && nghttpd !== undefined) {
      // nghttpd tells a reply's content-type by the file's name.
      const named = { ...call, path: `${call.path}${FILE_SUFFIX}` };
      return { backends: { ...frames, grpc: nghttpd }, call: named };
    }
    return { backends: PAGES.has(call) ? { ...frames, http: nginx ?? workers.http } : frames, call };
  }
}

/** Whether a file will do for the reply: one message, or messages as large as frames. */
function isFile(call: Call): call is HttpCall {
  return call === calls.GRPC_PING || call === calls.GRPC_LARGE || call === calls.GRPC_STREAM_LARGE;
}

/** What nginx answers without a body to read. */
const PAGES = new Set<Call>([calls.PING_H1, calls.PING_H2C, calls.DOWNLOAD_H1, calls.DOWNLOAD_H2C]);

function describe(nghttpd: number | undefined, nginx: number | undefined): string {
  const own = "a frame server of the benchmark's own";
  const files = nghttpd === undefined ? own : `nghttpd ${versionOf("nghttpd", ["--version"])}`;
  const pages = nginx === undefined ? "the project's worker" : `nginx ${versionOf("nginx", ["-v"])}`;
  return `\`--backends fast\`: ${files} behind unary gRPC and streams of 16 KiB messages, ${pages} behind GET, ${own} behind the other gRPC streams and uploads, the project's workers behind WebSockets, cold start and soak`;
}
