import type { Section } from "./report.ts";

/** A section as markdown, its table included; charts are for the page. */
export function markdown({ name, note, columns, rows, remarks = [] }: Section): string {
  const rule = columns.map((_, at) => (at === 0 ? "---" : "---:"));
  const table = [columns, rule, ...rows].map((cells) => `| ${cells.map(inCell).join(" | ")} |`).join("\n");
  return `\n## ${name}\n\n${note}\n\n${table}\n${remarks.map((remark) => `\n${remark}\n`).join("")}`;
}

/** Text of a foreign program may have what ends a cell. */
function inCell(text: string): string {
  return text.replaceAll(/\s+/g, " ").replaceAll("|", "\\|");
}
