import type { Contender } from "../contender.ts";
import { freePorts } from "../ports.ts";

export const nghttpx: Contender = {
  name: "nghttpx",
  doc: "one worker thread; one port for everything, told apart by path",
  peer: { binary: "nghttpx", versionArgs: ["--version"] },
  guarded: false,
  sendsToken: false,
  async prepare({ backends }) {
    const [port = 0] = await freePorts(1);
    return {
      program: {
        file: "nghttpx",
        args: [
          "--conf=/dev/null",
          "--workers=1",
          "--errorlog-file=/dev/stderr",
          "--log-level=ERROR",
          "--backend-keep-alive-timeout=60s",
          `--frontend=127.0.0.1,${port};no-tls`,
          `--backend=127.0.0.1,${backends.grpc};/Echo/;proto=h2`,
          `--backend=127.0.0.1,${backends.ws};/ws;proto=http/1.1`,
          `--backend=127.0.0.1,${backends.http};/;proto=http/1.1`,
        ],
        env: {},
      },
      ports: { grpc: port, h2c: port, h1: port, ws: port, "ws-h2": port },
      headers: {},
    };
  },
};
