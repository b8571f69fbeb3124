import type { Config } from "../settings/config.ts";
import type { Handler, ProtocolServer } from "../exchange.ts";
import type { LimitName } from "../limits.ts";
import { FieldReader } from "../message/fields.ts";
import { Connection } from "./connection.ts";
import { Connections } from "./connections.ts";
import { CLIENT_FAULTS } from "./malformed.ts";

/** HTTP/1.1 and 1.0, as exchanges. */
export function createHttp1(
  config: Config,
  handle: Handler,
  exceeded: (limit: LimitName) => void,
): ProtocolServer {
  const fields = new FieldReader(CLIENT_FAULTS);
  const { headBytes, headMs, idleMs, lingerMs, stallMs } = config;
  const limits = { headBytes, headMs, idleMs, lingerMs, stallMs };
  const connections = new Connections({ ...limits, fields, handle, exceeded });
  const tickMs = tickOf(config);
  const clock = setInterval(() => connections.tick(tickMs), tickMs).unref();
  return {
    open: () => ({ connections: connections.size, streams: 0 }),
    accept(end, first) {
      const connection = new Connection(end, connections);
      connections.add(connection);
      connection.receive(first);
    },
    holders: () => connections.all(),
    drain: () => connections.drain(),
    destroy() {
      clearInterval(clock);
      connections.destroy();
    },
  };
}

/** Milliseconds between two looks at the clocks of all connections: often enough for the shortest of the limits. */
function tickOf({ headMs, idleMs, lingerMs, stallMs }: Config): number {
  return Math.max(25, Math.min(1000, Math.min(headMs, idleMs, lingerMs, stallMs) / 4));
}
