import { carriageFindings, learnCarriage } from "./carriage.ts";
import { tryDoor } from "./door.ts";
import type { Finding } from "./finding.ts";
import { unknown } from "./finding.ts";
import { grpcFindings } from "./grpc.ts";
import { held } from "./hold.ts";
import { events, keptAlive, large, overHttp1, overHttp2 } from "./http.ts";
import { reach } from "./reach.ts";
import type { Site } from "./site.ts";
import { overConnect, overUpgrade } from "./websocket.ts";

export interface Wanted {
  /** Seconds that a WebSocket and a stream are held; 0 is none. */
  readonly holdSeconds: number;
  /** Whether more than Cloud Run's 32 MiB are sent. */
  readonly large: boolean;
}

/** Tries everything; `report` gets each row as it is known. Each layer is tried only on one that holds. */
export async function diagnose(
  site: Site,
  wanted: Wanted,
  report: (finding: Finding) => void = () => {},
): Promise<readonly Finding[]> {
  const all: Finding[] = [];
  const add = (...findings: readonly Finding[]): void => {
    for (const finding of findings) {
      all.push(finding);
      report(finding);
    }
  };
  const { findings, open, http2: offered } = await reach(site);
  add(...findings);
  if (!open) return all;
  const door = await tryDoor(site);
  add(...door.findings);
  if (!door.open) {
    if (site.token === undefined && door.findings.every(({ verdict }) => verdict === "ok"))
      add(unknown("all else", "needs a token", "Give one: --token or --key."));
    return all;
  }
  add((await overHttp1(site)).finding);
  const over2 = offered ? await overHttp2(site) : undefined;
  if (over2 !== undefined) add(over2.finding);
  const http2 = over2?.spoken === true;
  add(await keptAlive(site));
  const carriage = await learnCarriage(site, http2);
  add(...carriageFindings(carriage));
  // Side by side: they wait for replies more than they work.
  const [streamed, calls] = await Promise.all([events(site), http2 ? grpcFindings(site, carriage.mode) : []]);
  add(streamed, ...calls);
  // By themselves: a handshake that fails in a proxy may take along what shares its connection to the edge.
  add(await overUpgrade(site, carriage));
  if (http2) add(await overConnect(site, carriage));
  if (wanted.large) add(await large(site));
  if (wanted.holdSeconds > 0) add(...(await held(site, wanted.holdSeconds, carriage.mode)));
  return all;
}
