import { ARRIVAL_PATH } from "../../edge/arrival.ts";
import type { FailureCode } from "../../edge/errors.ts";
import type { Answer } from "./answer.ts";
import { ask1 } from "./answer.ts";
import type { Finding } from "./finding.ts";
import { failed, ok, sentence, unknown } from "./finding.ts";
import { refusalOf } from "./refusal.ts";
import type { Site } from "./site.ts";
import type { Clocks } from "./token.ts";
import { SKEW_SECONDS, claimsOf, quote, span, whyRefused } from "./token.ts";

/** Who gets in. */
export interface Door {
  readonly findings: readonly Finding[];
  /** True when what follows can be tried: requests of this caller get past whoever checks them. */
  readonly open: boolean;
}

/** Tries the door without a token, and with the one that was given; compares the clocks on the way. */
export async function tryDoor(site: Site, now: () => number = Date.now): Promise<Door> {
  let without: Answer;
  try {
    without = await ask1(site, { path: ARRIVAL_PATH, as: "nobody" });
  } catch (thrown) {
    return { findings: [failed("door", sentence(thrown), NO_HTTP)], open: false };
  }
  if (isSentToTls(site, without))
    return {
      findings: [failed("door", `${without.status} to https://`, "Use https:// in --server.")],
      open: false,
    };
  const clocks = await readClocks(site, without, now);
  const bare = withoutToken(site, without);
  const findings = [clockFinding(clocks), bare.finding];
  if (site.token === undefined) return { findings, open: bare.open };
  const given = await withToken(site, site.token, clocks);
  return { findings: [...findings, given], open: given.verdict === "ok" };
}

/** What the edge says of a caller; what else it may say is about workers. */
const OF_CALLERS: ReadonlySet<FailureCode | undefined> = new Set([
  "unauthenticated",
  "forbidden",
  "keys_unavailable",
]);

const NO_HTTP = "Check that --server leads to the edge or a proxy in front of it: no HTTP/1.1 reply came.";

function isSentToTls({ url }: Site, { status, headers }: Answer): boolean {
  const isRedirect = [301, 302, 307, 308].includes(status);
  return isRedirect && (headers["location"] ?? "").startsWith(`https://${url.hostname}`);
}

function withoutToken(site: Site, answer: Answer): { finding: Finding; open: boolean } {
  const check = "without a token";
  const refusal = refusalOf(answer);
  if (refusal === undefined) {
    if (site.token === undefined) return { finding: ok(check, "let in: open to everybody"), open: true };
    const change =
      "Set AUTH_AUDIENCE and AUTH_SERVICE_ACCOUNTS: the edge lets everybody in, with or without a token.";
    return { finding: failed(check, `${answer.status}, let in`, change), open: true };
  }
  if (refusal.code === "unauthenticated")
    return { finding: ok(check, `refused: ${answer.status}, as it should be`), open: false };
  // Whoever checks callers in front may let this one in once it has a token.
  if (refusal.by !== "the edge" && site.token !== undefined && [401, 403, 302].includes(answer.status))
    return { finding: ok(check, `refused by ${refusal.by}: ${answer.status}`), open: false };
  // The HTTP worker is not the door: others may be there.
  const open = refusal.by === "the edge";
  return { finding: failed(check, refusal.saw, refusal.change), open };
}

async function withToken(site: Site, token: string, clocks: Clocks): Promise<Finding> {
  const check = "with the token";
  let answer: Answer;
  try {
    answer = await ask1(site, { path: ARRIVAL_PATH });
  } catch (thrown) {
    return failed(check, sentence(thrown), "Try again: the same request without the token had a reply.");
  }
  const refusal = refusalOf(answer);
  if (refusal === undefined || (refusal.by === "the edge" && !OF_CALLERS.has(refusal.code)))
    return ok(check, "let in");
  if (refusal.code === "forbidden") {
    const email = quote(claimsOf(token)?.["email"]);
    return failed(
      check,
      refusal.saw,
      `Add ${email} to AUTH_SERVICE_ACCOUNTS, or use an account that is on it.`,
    );
  }
  if (refusal.code !== "unauthenticated" || refusal.message === undefined)
    return failed(check, refusal.saw, refusal.change);
  return failed(check, refusal.saw, whyRefused(token, refusal.message, clocks));
}

/** Over HTTP/2 the edge's own replies have no Date, but a worker's has. */
async function readClocks(site: Site, { headers }: Answer, now: () => number): Promise<Clocks> {
  const ping =
    headers["date"] === undefined ? await ask1(site, { path: "/ping" }).catch(() => undefined) : undefined;
  const there = Date.parse(headers["date"] ?? ping?.headers["date"] ?? "") / 1000;
  return { here: now() / 1000, there: Number.isNaN(there) ? undefined : there };
}

function clockFinding({ here, there }: Clocks): Finding {
  if (there === undefined)
    return unknown("clock", "the server sends no Date", "Compare the server's clock with this one by hand.");
  const ahead = there - here;
  if (Math.abs(ahead) <= SKEW_SECONDS) return ok("clock", "the server's is the same as this machine's");
  return failed(
    "clock",
    `the server's is ${span(Math.abs(ahead))} ${ahead > 0 ? "ahead of" : "behind"} this machine's`,
    "Set the clock that is wrong: tokens are refused when they differ by more than 30 s.",
  );
}
