import { diagnose } from "./doctor/diagnose.ts";
import type { Finding } from "./doctor/finding.ts";
import { sentence } from "./doctor/finding.ts";
import type { Options } from "./doctor/options.ts";
import { HELP, readOptions } from "./doctor/options.ts";

const MARKS = { ok: "ok  ", failed: "FAIL", unknown: "?   " } as const;

process.exit(await main());

async function main(): Promise<number> {
  let options: Options | "help";
  try {
    options = await readOptions(process.argv.slice(2), process.env);
  } catch (thrown) {
    process.stderr.write(`${sentence(thrown)}\n(npm run doctor -- --help)\n`);
    return 2;
  }
  if (options === "help") {
    process.stdout.write(HELP);
    return 0;
  }
  const { site, wanted, json } = options;
  const server = site.url.href;
  if (!json) process.stdout.write(`${server}\n`);
  const findings = await diagnose(site, wanted, json ? () => {} : print);
  const failures = findings.filter(({ verdict }) => verdict === "failed").length;
  const whole = { server, healthy: failures === 0, findings };
  process.stdout.write(json ? `${JSON.stringify(whole, null, 2)}\n` : `\n${summary(findings)}\n`);
  return failures === 0 ? 0 : 1;
}

function print({ check, verdict, saw, change }: Finding): void {
  process.stdout.write(`${MARKS[verdict]} ${check.padEnd(22)} ${saw}\n`);
  if (change !== undefined) process.stdout.write(`     → ${change}\n`);
}

function summary(findings: readonly Finding[]): string {
  const count = (verdict: Finding["verdict"]): number =>
    findings.filter((finding) => finding.verdict === verdict).length;
  const [failures, unknowns] = [count("failed"), count("unknown")];
  const first =
    failures === 0 ? "nothing that was tried is wrong" : `${failures} of ${findings.length} checks failed`;
  return unknowns === 0 ? first : `${first}, ${unknowns} could not be known`;
}
