import assert from "node:assert/strict";

/** Metrics as they were read. */
export interface ReadMetrics {
  readonly types: ReadonlyMap<string, string>;
  /** Each sample, by its name and labels as they were written. */
  readonly samples: ReadonlyMap<string, number>;
  /** The value with exactly these labels. */
  value(name: string, labels?: Readonly<Record<string, string>>): number;
}

const HELP = /^# HELP ([a-zA-Z_:][a-zA-Z0-9_:]*) (.+)$/;
const TYPE = /^# TYPE ([a-zA-Z_:][a-zA-Z0-9_:]*) (counter|gauge|histogram)$/;
const LABEL = '[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\\\\n]|\\\\[\\\\"n])*"';
const SAMPLE = new RegExp(
  `^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\\{(${LABEL}(?:,${LABEL})*)\\})? ([0-9.]+(?:e[+-]?[0-9]+)?)$`,
);

/** Reads Prometheus' text format (version 0.0.4), and lets nothing pass that is not plainly that. */
export function parseMetrics(text: string): ReadMetrics {
  assert.ok(text.endsWith("\n") && !text.endsWith("\n\n"), "ends in one line feed");
  const types = new Map<string, string>();
  const samples = new Map<string, number>();
  let [helped, family, type] = ["", "", ""];
  for (const line of text
    .slice(0, -1)
    .split("\n")
    .filter((each) => each !== "")) {
    if (line.startsWith("# HELP ")) {
      helped = HELP.exec(line)?.[1] ?? assert.fail(line);
      continue;
    }
    if (line.startsWith("#")) {
      [, family = "", type = ""] = TYPE.exec(line) ?? assert.fail(line);
      assert.equal(family, helped, "HELP stands before TYPE");
      assert.ok(!types.has(family), `${family} comes twice`);
      types.set(family, type);
      assert.equal(type === "counter", family.endsWith("_total"), `${family} is a ${type}`);
      continue;
    }
    const [, name = "", labels = "", value = ""] = SAMPLE.exec(line) ?? assert.fail(line);
    const part = type === "histogram" ? /_(bucket|sum|count)$/.exec(name)?.[0] : "";
    assert.equal(name, `${family}${part}`, `${line} belongs to ${family}`);
    const key = keyOf(name, labels === "" ? [] : labels.split(/,(?=[a-zA-Z_][a-zA-Z0-9_]*=")/));
    assert.ok(!samples.has(key), `${key} comes twice`);
    samples.set(key, Number(value));
  }
  checkHistograms(types, samples);
  return {
    types,
    samples,
    value(name, labels = {}) {
      const key = keyOf(
        name,
        Object.entries(labels).map(([label, value]) => `${label}="${value}"`),
      );
      return samples.get(key) ?? assert.fail(`${key} is not among\n${text}`);
    },
  };
}

function keyOf(name: string, labels: readonly string[]): string {
  return `${name}{${labels.toSorted().join(",")}}`;
}

/** Buckets grow, and the last one is the count. */
function checkHistograms(types: ReadMetrics["types"], samples: ReadMetrics["samples"]): void {
  for (const [family, type] of types) {
    const last = new Map<string, number>();
    for (const [key, value] of samples) {
      if (type !== "histogram" || !key.startsWith(`${family}_bucket{`)) continue;
      const others = key.replace(/le="[^"]*",?/, "").replace(",}", "}");
      assert.ok(value >= (last.get(others) ?? 0), key);
      last.set(others, value);
    }
    for (const [others, value] of last) assert.equal(samples.get(others.replace("_bucket", "_count")), value);
  }
}
