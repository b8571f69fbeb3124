// What is lost when processes are killed, or stop for a while, under load: workers, one of two, all of them, edge processes.
import { pause } from "../support/load.ts";
import { childPid, family } from "../support/family.ts";
import type { Stage } from "../support/scenarios.ts";
import { commandOf, edgePids, scenario } from "../support/scenarios.ts";
import { started } from "../support/stages.ts";

const TWO_OF_EACH = { HTTP_WORKERS: "2", GRPC_WORKERS: "2", WS_WORKERS: "2" };
const TWO_EDGES = { EDGE_PROCESSES: "2" };

const HTTP_GONE = ["502", "503"];
const GRPC_GONE = ["status 14"];
const WS_GONE = ["closed 1014", "502", "503"];

/** Kills one of the processes that run a script. */
function killing(script: string): (stage: Stage) => Promise<void> {
  return async ({ mark }) => void process.kill(childPid(mark, script), "SIGKILL");
}

scenario({
  name: "kill -9 of the HTTP worker",
  stage: started(),
  act: killing("services/http/"),
  expected: {
    may: { http1: HTTP_GONE, http2: HTTP_GONE },
    felt: ["http1", "http2"],
    wellMs: 2500,
    peakMiB: 200,
  },
});

scenario({
  name: "kill -9 of the gRPC worker",
  stage: started(),
  act: killing("services/grpc/"),
  expected: {
    may: { unary: GRPC_GONE, stream: GRPC_GONE },
    felt: ["unary", "stream"],
    wellMs: 2500,
    peakMiB: 200,
  },
});

scenario({
  name: "kill -9 of the WebSocket worker",
  stage: started(),
  act: killing("services/ws/"),
  expected: { may: { websocket: WS_GONE }, felt: ["websocket"], wellMs: 2500, peakMiB: 200 },
});

scenario({
  name: "kill -9 of all workers",
  stage: started(),
  act: async ({ mark }) => {
    for (const pid of family(mark).filter((each) => commandOf(each).includes("services/")))
      process.kill(pid, "SIGKILL");
  },
  expected: {
    may: { http1: HTTP_GONE, http2: HTTP_GONE, unary: GRPC_GONE, stream: GRPC_GONE, websocket: WS_GONE },
    felt: ["http1", "http2", "unary", "stream", "websocket"],
    wellMs: 3000,
    peakMiB: 200,
  },
});

scenario({
  name: "kill -9 of one of two workers of each protocol",
  stage: started(TWO_OF_EACH),
  act: async (stage) => {
    for (const script of ["services/http/", "services/grpc/", "services/ws/"]) await killing(script)(stage);
  },
  // What was under way on them; all else goes to the others at once.
  expected: {
    may: { http1: ["502"], http2: ["502"], unary: GRPC_GONE, stream: GRPC_GONE, websocket: WS_GONE },
    felt: ["websocket"],
    share: 0.1,
    wellMs: 500,
    peakMiB: 200,
  },
});

scenario({
  name: "kill -9 of one of two edge processes",
  stage: started(TWO_EDGES),
  act: killing("processes/child.ts"),
  // Its own connections; clients come back to the other one.
  expected: {
    may: { http1: ["cut"], http2: ["cut"], unary: ["cut"], stream: ["cut"], websocket: ["cut"] },
    felt: "any",
    share: 0.1,
    wellMs: 500,
    peakMiB: 500,
  },
});

scenario({
  name: "kill -9 of both edge processes",
  stage: started(TWO_EDGES),
  act: async ({ mark }) => {
    for (const pid of edgePids(mark).filter((each) => commandOf(each).includes("processes/child.ts")))
      process.kill(pid, "SIGKILL");
  },
  expected: {
    may: { http1: ["cut"], http2: ["cut"], unary: ["cut"], stream: ["cut"], websocket: ["cut"] },
    felt: ["http1", "http2", "unary", "stream", "websocket"],
    wellMs: 2500,
    peakMiB: 500,
  },
});

scenario({
  name: "all workers stop for two seconds (SIGSTOP, SIGCONT)",
  stage: started(),
  act: async ({ mark }) => {
    const pids = family(mark).filter((each) => commandOf(each).includes("services/"));
    for (const pid of pids) process.kill(pid, "SIGSTOP");
    await pause(2000);
    for (const pid of pids) process.kill(pid, "SIGCONT");
  },
  expected: { may: {}, wellMs: 500, peakMiB: 200 },
});
