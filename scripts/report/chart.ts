import { escape } from "./markup.ts";
import type { Bar, Chart } from "./report.ts";

/** Pixels: a bar with the line of text above it, and parts of that. */
const ROW = 36;
const BASELINE = 14;
const BAR = { top: 20, height: 10 };
const CAP = 4;

/**
 * A chart as an SVG element: for each bar a line of text and the bar below it. Widths are shares of the element's own, so that
 * text is as large on a phone as on a wall. Nothing for a chart without bars.
 */
export function chartSvg({ title, bars }: Chart, id: string): string {
  if (bars.length === 0) return "";
  const all = bars.flatMap(({ value, range }) => [value, ...(range ?? [])]);
  // From zero on, or lengths would not compare.
  const share = (value: number): string => `${((100 * value) / (Math.max(...all) || 1)).toFixed(2)}%`;
  const sorted = bars.toSorted((one, other) => one.value - other.value);
  const rows = sorted.map((bar, index) => row(bar, index * ROW, share));
  const described = sorted.map(({ name, text }) => `${name}: ${text}`).join(", ");
  return `<svg role="img" aria-labelledby="${id}-title ${id}-desc" width="100%" height="${rows.length * ROW}">
<title id="${id}-title">${escape(title)}</title>
<desc id="${id}-desc">${escape(described)}</desc>
${rows.join("\n")}
</svg>`;
}

function row({ name, value, range, text, isOurs }: Bar, y: number, share: (value: number) => string): string {
  const kind = isOurs === true ? "ours" : "other";
  const middle = y + BAR.top + BAR.height / 2;
  return [
    `<text x="0" y="${y + BASELINE}" class="${kind}">${escape(name)} <tspan>${escape(text)}</tspan></text>`,
    `<rect x="0" y="${y + BAR.top}" width="${share(value)}" height="${BAR.height}" class="${kind}"/>`,
    ...(range === undefined ? [] : whisker(share(range[0]), share(range[1]), middle)),
  ].join("");
}

function whisker(from: string, to: string, y: number): string[] {
  return [line(from, to, y, y), line(from, from, y - CAP, y + CAP), line(to, to, y - CAP, y + CAP)];
}

function line(x1: string, x2: string, y1: number, y2: number): string {
  return `<line x1="${x1}" x2="${x2}" y1="${y1}" y2="${y2}"/>`;
}
