import { chartSvg } from "./chart.ts";
import { curveSvg } from "./curve.ts";
import { escape, prose } from "./markup.ts";
import type { Report, Section } from "./report.ts";

const STYLE = `
:root { color-scheme: light dark; --ink: #1b1b1b; --paper: #fff; --faint: #5c5c5c; --line: #d5d5d5; --ours: #0b66c3; --other: #a9a9a9; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8e8e8; --paper: #161616; --faint: #ababab; --line: #3a3a3a; --ours: #58a6ff; --other: #6e6e6e; }
}
body { margin: 0 auto; padding: 1rem; max-width: 60rem; font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); }
nav ul { columns: 14rem; padding-left: 1.2rem; }
a { color: var(--ours); }
section { border-top: 1px solid var(--line); margin-top: 2rem; }
figure { margin: 1.5rem 0; }
figcaption { font-weight: 600; }
svg { display: block; overflow: visible; }
svg text { font-size: 13px; fill: var(--faint); }
svg text.ours { font-weight: 600; }
svg text.ours, tspan { fill: var(--ink); }
rect.ours { fill: var(--ours); }
rect.other { fill: var(--other); }
line { stroke: var(--ink); stroke-width: 1.5; }
polyline { fill: none; stroke: var(--ours); stroke-width: 2; }
polyline.axis { stroke: var(--line); stroke-width: 1; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .2rem .7rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
th:first-child { text-align: left; }
`;

/** A report as one HTML file: nothing is loaded, nothing is run. It is well-formed XML as well. */
export function page({ title, intro, sections }: Report): string {
  const links = sections.map(({ name }, at) => `<li><a href="#s${at}">${escape(name)}</a></li>`).join("");
  return `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8"/>
<meta name="viewport" content="width=device-width, initial-scale=1"/>
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'"/>
<title>${escape(title)}</title>
<style>${STYLE}</style>
</head>
<body>
<h1>${escape(title)}</h1>
<nav aria-label="Sections"><ul>${links}</ul></nav>
<details><summary>How to read this, and how it was made</summary>
${prose(intro)}
</details>
${sections.map(sectionOf).join("\n")}
</body>
</html>
`;
}

function sectionOf(
  { name, note, columns, rows, charts = [], curves = [], remarks = [] }: Section,
  at: number,
): string {
  const figures = [
    ...charts.map((chart, index) => figure(chart.title, chartSvg(chart, `s${at}c${index}`))),
    ...curves.map((curve, index) => figure(curve.title, curveSvg(curve, `s${at}l${index}`))),
  ];
  return [
    `<section id="s${at}">`,
    `<h2>${escape(name)}</h2>`,
    prose(note),
    ...figures.filter((one) => one !== ""),
    table(name, columns, rows),
    ...remarks.map(prose),
    "</section>",
  ].join("\n");
}

function figure(title: string, drawing: string): string {
  return drawing === "" ? "" : `<figure><figcaption>${escape(title)}</figcaption>\n${drawing}\n</figure>`;
}

/** A wide one scrolls by itself, with the keyboard too. */
function table(name: string, columns: readonly string[], rows: readonly (readonly string[])[]): string {
  const head = columns.map((column) => `<th scope="col">${escape(column)}</th>`).join("");
  const lines = rows.map(([first = "", ...cells]) => {
    const rest = cells.map((cell) => `<td>${escape(cell)}</td>`).join("");
    return `<tr><th scope="row">${escape(first)}</th>${rest}</tr>`;
  });
  return `<div class="wide" role="region" tabindex="0" aria-label="${escape(`Table of ${name}`)}"><table>
<thead><tr>${head}</tr></thead>
<tbody>
${lines.join("\n")}
</tbody>
</table></div>`;
}
