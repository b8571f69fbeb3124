const KEPT = 60;
const WIDTH = 300;
const HEIGHT = 64;

/** The latencies of the last replies as a line, failures as crosses, and all of it in words. */
export class Plot {
  #line;
  #crosses;
  #caption;
  #title;
  /** Milliseconds; null for a failure. */
  #taken = [];

  constructor(figure) {
    this.#line = figure.querySelector("polyline");
    this.#crosses = figure.querySelector("g");
    this.#title = figure.querySelector("title");
    this.#caption = figure.querySelector("figcaption");
  }

  add(ms) {
    this.#taken.push(ms);
    if (this.#taken.length > KEPT) this.#taken.shift();
    const replies = this.#taken.filter((taken) => taken !== null);
    const top = Math.max(1, ...replies);
    const x = (i) => (i * WIDTH) / (KEPT - 1);
    const y = (taken) => HEIGHT - 4 - (taken / top) * (HEIGHT - 8);
    const points = this.#taken.map((taken, i) =>
      taken === null ? "" : `${x(i).toFixed(1)},${y(taken).toFixed(1)}`,
    );
    this.#line.setAttribute("points", points.join(" "));
    const crosses = this.#taken.map((taken, i) => (taken === null ? cross(x(i), HEIGHT / 2) : ""));
    this.#crosses.replaceChildren();
    const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
    path.setAttribute("d", crosses.join(""));
    this.#crosses.append(path);
    this.#caption.textContent = describe(replies, this.#taken.length - replies.length);
    this.#title.textContent = `Latency. ${this.#caption.textContent}`;
  }
}

function cross(x, y) {
  return `M${x - 3} ${y - 6}l6 12m0 -12l-6 12`;
}

function ms(value) {
  return `${value.toFixed(1)} ms`;
}

export function describe(replies, failures) {
  const failed = failures === 0 ? "" : `${failures} failed`;
  if (replies.length === 0) return failed;
  const sorted = replies.toSorted((a, b) => a - b);
  const median = sorted[Math.floor(sorted.length / 2)];
  const words = [`last ${ms(replies.at(-1))}`, `median ${ms(median)}`, `worst ${ms(sorted.at(-1))}`];
  return [...words, replies.length === 1 ? "1 reply" : `${replies.length} replies`, failed]
    .filter((word) => word !== "")
    .join(", ");
}
