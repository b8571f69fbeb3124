import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { LARGE_CHAT, LARGE_MESSAGES, PONG, countReplies } from "../calls.ts";
import { freePorts } from "../ports.ts";
import type { Program } from "../programs.ts";

/** Ends the path of every call that nghttpd answers. */
export const FILE_SUFFIX = ".grpc";

/** gRPC replies as files: nghttpd answers a POST with one, and grpc-status in the trailers. */
export async function prepareNghttpd(folder: string): Promise<{ program: Program; port: number }> {
  const [port = 0] = await freePorts(1);
  const types = join(folder, "mime.types");
  await mkdir(join(folder, "Echo"));
  await writeFile(join(folder, `Echo/Ping${FILE_SUFFIX}`), PONG);
  await writeFile(join(folder, `Echo/Chat${FILE_SUFFIX}`), LARGE_CHAT);
  await writeFile(join(folder, `Echo/Count${FILE_SUFFIX}`), Buffer.concat(countReplies(LARGE_MESSAGES)));
  await writeFile(types, "application/grpc grpc\n");
  const args = [
    "--no-tls",
    "--address=127.0.0.1",
    `--htdocs=${folder}`,
    "--trailer=grpc-status: 0",
    "--no-content-length",
    // More than any row has under way, so that one connection will do.
    "--max-concurrent-streams=1000",
    `--mime-types-file=${types}`,
    String(port),
  ];
  return { program: { file: "nghttpd", args, env: {} }, port };
}
