import assert from "node:assert/strict";
import type { Wanted } from "../../scripts/doctor/diagnose.ts";
import { diagnose } from "../../scripts/doctor/diagnose.ts";
import type { Finding } from "../../scripts/doctor/finding.ts";
import type { Site } from "../../scripts/doctor/site.ts";

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

  /** Checks that came to this verdict. */
  are(verdict: Finding["verdict"]): string[] {
    return this.findings.filter((finding) => finding.verdict === verdict).map(({ check }) => check);
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
