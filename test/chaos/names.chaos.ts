// What is lost when the name server falls silent, for workers that are known by name.
import { once } from "node:events";
import { http2Client } from "../support/clients.ts";
import { pause } from "../support/load.ts";
import type { NameServer } from "../support/names.ts";
import { nameServer, whyNoNames, withNames } from "../support/names.ts";
import { scenario } from "../support/scenarios.ts";
import { edgeAlone } from "../support/stages.ts";

let names: NameServer | undefined;

scenario({
  name: "the name server is silent for 3 s: HTTP and WebSocket workers by name, gRPC by address",
  skip: whyNoNames(),
  stage: async (t) => {
    names = await nameServer(t);
    return edgeAlone(t, { LIMIT_CONNECT_MS: "1000" }, (path, settings, { http, ws }) =>
      withNames(t, path, {
        ...settings,
        HTTP_UPSTREAMS: `http://http.example:${http}`,
        WS_UPSTREAMS: `http://ws.example:${ws}`,
      }),
    );
  },
  act: async ({ port }, t) => {
    if (names === undefined) return;
    names.isSilent = true;
    // More at a time than there are connections: others have to be opened.
    const session = http2Client(t, port);
    const replies = Array.from({ length: 20 }, () => session.request({ ":path": "/slow?ms=1000" }).resume());
    await Promise.all(replies.map((stream) => once(stream, "close")));
    await pause(2000);
    names.isSilent = false;
  },
  // A connection that cannot be had in time is a worker that cannot be reached, whatever the reason.
  expected: {
    may: { http1: ["503"], http2: ["503"], websocket: ["503"] },
    felt: ["http1", "http2", "websocket"],
    wellMs: 3000,
    peakMiB: 200,
  },
});
