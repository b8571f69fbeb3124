import { escape } from "./markup.ts";
import type { Curve } from "./report.ts";

/** Pixels: the line of text above, the curve, the line of text below. */
const TOP = 20;
const HEIGHT = 120;
const BELOW = 20;

/** A curve as an SVG element as wide as there is room. Nothing for fewer than two points. */
export function curveSvg({ title, points, ends, text }: Curve, id: string): string {
  if (points.length < 2) return "";
  const [first = 0, last = 1] = [points[0]?.[0], points.at(-1)?.[0]];
  const top = Math.max(...points.map(([, y]) => y)) || 1;
  // From zero on, or a small rise would look like a large one.
  const drawn = points.map(([x, y]) => {
    const across = (100 * (x - first)) / (last - first || 1);
    return `${across.toFixed(2)},${(100 - (100 * y) / top).toFixed(2)}`;
  });
  return `<svg role="img" aria-labelledby="${id}-title ${id}-desc" width="100%" height="${TOP + HEIGHT + BELOW}">
<title id="${id}-title">${escape(title)}</title>
<desc id="${id}-desc">${escape(`${text}, ${ends.join(" to ")}`)}</desc>
<text x="0" y="14"><tspan>${escape(text)}</tspan></text>
<svg y="${TOP}" width="100%" height="${HEIGHT}" viewBox="0 0 100 100" preserveAspectRatio="none">
<polyline points="${drawn.join(" ")}" vector-effect="non-scaling-stroke"/>
<polyline points="0,100 100,100" class="axis" vector-effect="non-scaling-stroke"/>
</svg>
<text x="0" y="${TOP + HEIGHT + 16}">${escape(ends[0])}</text>
<text x="100%" y="${TOP + HEIGHT + 16}" text-anchor="end">${escape(ends[1])}</text>
</svg>`;
}
