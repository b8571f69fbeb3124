import assert from "node:assert/strict";
import { test } from "node:test";
import { CONTENDERS } from "../../scripts/bench/contenders.ts";
import { readOptions } from "../../scripts/bench/options.ts";
import type { Sample } from "../../scripts/bench/measure.ts";
import { inTurn } from "../../scripts/bench/statistics.ts";
import { partOf } from "../../scripts/bench/parts.ts";
import { ROWS } from "../../scripts/bench/rows.ts";
import type { LoadRow } from "../../scripts/bench/rows.ts";
import { loadSection, soakSection } from "../../scripts/bench/sections.ts";
import { chartSvg } from "../../scripts/report/chart.ts";
import { markdown } from "../../scripts/report/markdown.ts";
import { escape, prose } from "../../scripts/report/markup.ts";
import { page } from "../../scripts/report/page.ts";
import { Progress } from "../../scripts/report/progress.ts";
import type { Report } from "../../scripts/report/report.ts";
import { output, which } from "../support/processes.ts";
import { all, parseXml, textOf } from "../support/xml.ts";

/** Text that would end elements, attributes and cells, and characters that no document may have. */
const NASTY = `</td><script>alert("1")</script> & 'x' | \u0000\u0008\ud800\uffff`;
const NASTY_READ = `</td><script>alert("1")</script> & 'x' | `;

const REPORT: Report = {
  title: `A report ${NASTY}`,
  intro: "First, **what** is *meant* by `a < b`.\n\n- one\n- two",
  sections: [
    {
      name: `one ${NASTY}`,
      note: `What was done: ${NASTY}`,
      columns: ["", "CPU µs", "range"],
      rows: [
        ["slow", "20.0", "10.0–40.0"],
        [NASTY, "error: it broke", ""],
        ["ours", "5.0", "4.0–6.0"],
      ],
      charts: [
        {
          title: `CPU ${NASTY}`,
          bars: [
            { name: "slow", value: 20, range: [10, 40], text: "20.0" },
            { name: "ours", value: 5, range: [4, 6], text: "5.0", isOurs: true },
          ],
        },
        { title: "nothing to see", bars: [] },
      ],
      remarks: ["And that was *that*."],
    },
    { name: "two", note: "No chart.", columns: ["", "n"], rows: [["a", "1"]] },
  ],
};

test("a page is well-formed, whatever the text", () => {
  const document = parseXml(page(REPORT));
  assert.deepEqual(all(document, "h2").map(textOf), [`one ${NASTY_READ}`, "two"]);
  assert.equal(all(document, "script").length, 0);
  assert.equal(textOf(all(document, "td")[2]!), "error: it broke");
});

const python = which("python3");
test(
  "a page is well-formed for expat, too",
  { skip: python === undefined && "there is no python3" },
  async () => {
    const parse = "import sys, xml.parsers.expat as e; e.ParserCreate().Parse(sys.stdin.buffer.read(), True)";
    const { exited, err } = await output(python ?? "", ["-c", parse], {}, Buffer.from(page(REPORT)));
    assert.equal((await exited).code, 0, err);
  },
);

for (const [why, source] of [
  ["an element without its end", "<p><b>x</p>"],
  ["a bare ampersand", "<p>a & b</p>"],
  ["an attribute without quotes", "<p id=x></p>"],
  ["an attribute twice", '<p id="x" id="y"></p>'],
] as const) {
  test(`the parser of these tests refuses ${why}`, () => assert.throws(() => parseXml(source)));
}

test("a page loads nothing and runs nothing", () => {
  const document = parseXml(page(REPORT));
  const html = all(document, "html")[0]!;
  assert.equal(html.attributes["lang"], "en");
  for (const tag of ["script", "link", "img", "iframe", "use", "image"])
    assert.equal(all(html, tag).length, 0, tag);
  assert.doesNotMatch(textOf(all(html, "style")[0]!), /url\(|@import/);
  const ids = new Set(all(html, "section").map(({ attributes }) => `#${attributes["id"]}`));
  assert.deepEqual(
    all(html, "a").map(({ attributes }) => attributes["href"]),
    [...ids],
  );
  assert.ok(all(html, "meta").some(({ attributes: { name } }) => name === "viewport"));
  assert.match(textOf(all(html, "style")[0]!), /prefers-color-scheme: dark/);
});

test("a chart: sorted, labelled as the table is, with a title and a description of its own", () => {
  const document = parseXml(page(REPORT));
  assert.equal(all(document, "svg").length, 1);
  const chart = all(document, "svg")[0]!;
  assert.deepEqual(all(chart, "text").map(textOf), ["ours 5.0", "slow 20.0"]);
  assert.equal(textOf(all(chart, "desc")[0]!), "ours: 5.0, slow: 20.0");
  const ids = [...all(chart, "title"), ...all(chart, "desc")].map(({ attributes }) => attributes["id"]);
  assert.equal(chart.attributes["aria-labelledby"], ids.join(" "));
  const cells = new Set(all(all(document, "table")[0]!, "td").map(textOf));
  for (const value of ["5.0", "20.0"]) assert.ok(cells.has(value), value);
});

test("lengths in a chart start at zero, and the greatest end of a range is all of the width", () => {
  const chart = all(parseXml(chartSvg(REPORT.sections[0]!.charts![0]!, "c")), "svg")[0]!;
  assert.deepEqual(
    all(chart, "rect").map(({ attributes }) => [attributes["width"], attributes["class"]]),
    [
      ["12.50%", "ours"],
      ["50.00%", "other"],
    ],
  );
  const whiskers = all(chart, "line").map(({ attributes: { x1, x2 } }) => [x1, x2]);
  assert.deepEqual(
    whiskers.filter(([x1, x2]) => x1 !== x2),
    [
      ["10.00%", "15.00%"],
      ["25.00%", "100.00%"],
    ],
  );
});

test("a chart of zeros has no lengths", () => {
  const chart = chartSvg({ title: "t", bars: [{ name: "a", value: 0, text: "0" }] }, "c");
  assert.match(chart, /width="0\.00%"/);
});

test("a curve: from zero up to its greatest value, from side to side", () => {
  const curve = { title: "Memory", ends: ["0 min", "4 min"] as const, text: "50 MiB to 100" };
  const points = [
    [0, 50],
    [1, 100],
    [4, 75],
  ] as const;
  const section = {
    ...REPORT.sections[1]!,
    curves: [
      { ...curve, points },
      { ...curve, points: [[0, 1]] as const },
    ],
  };
  const document = parseXml(page({ ...REPORT, sections: [section] }));
  assert.equal(all(document, "figure").length, 1);
  assert.equal(all(document, "polyline")[0]!.attributes["points"], "0.00,50.00 25.00,0.00 100.00,25.00");
  assert.equal(textOf(all(document, "desc")[0]!), "50 MiB to 100, 0 min to 4 min");
});

test("a soak's memory is a curve", () => {
  const points = [1, 2, 3].map((minute) => ({ minute, bytes: minute * 10 * 2 ** 20 }));
  const verdict = { grows: true, bytesPerMinute: 0, errorPerMinute: 0 };
  const { curves } = soakSection(
    ROWS.find(({ kind }) => kind === "soak")!,
    [{ contender: CONTENDERS[1]!, samples: [{ requests: 1, points, verdict }], problem: undefined }],
  );
  assert.deepEqual(
    curves?.map(({ points, text }) => [points, text]),
    [
      [
        [
          [1, 10],
          [2, 20],
          [3, 30],
        ],
        "10 MiB at first, 30 at the end, 30 at most",
      ],
    ],
  );
});

test("prose: paragraphs, lists and words, and nothing else", () => {
  assert.equal(
    prose("a **b** *c* `d*e*<`\nf\n\n- g\n- h & i\n"),
    "<p>a <strong>b</strong> <em>c</em> <code>d*e*&lt;</code>\nf</p>\n<ul><li>g</li><li>h &amp; i</li></ul>",
  );
  assert.equal(escape("2 * 3 < 4"), "2 * 3 &lt; 4");
});

test("the same section as markdown: no text ends a cell", () => {
  const table = markdown({ ...REPORT.sections[0]!, rows: [["a|b", "c\nd", ""]] });
  assert.match(table, /\n\| a\\\|b \| c d \|  \|\n/);
  assert.match(table, /\n\|  \| CPU µs \| range \|\n\| --- \| ---: \| ---: \|\n/);
});

function sample(cpuUs: number, p99Ms: number): Sample {
  return { cpuUs, p99Ms, p50Ms: 1, perSecond: 1, requests: 1, peakBytes: cpuUs * 2 ** 20 };
}

test("a row of the benchmark: charts have the table's numbers", () => {
  const [oneport, , , nginx] = CONTENDERS;
  const row = ROWS.find(({ name }) => name === "grpc-unary-1MiB") as LoadRow;
  const { columns, rows, charts } = loadSection(row, [
    { contender: oneport!, samples: [sample(4, 1), sample(9, 3), sample(5, 2)], problem: undefined },
    { contender: nginx!, samples: [], problem: "error: it broke" },
  ]);
  const cell = (title: string): string | undefined => rows[0]![columns.indexOf(title)];
  assert.deepEqual(rows[1]!.slice(0, 3), [nginx!.name, "error: it broke", ""]);
  assert.deepEqual(
    charts?.map(({ bars }) => bars.map(({ value, range, text }) => [value, range, text])),
    [[[5, [4, 9], cell("CPU µs")]], [[2, [1, 3], cell("p99 ms")]], [[9, [4, 9], cell("peak RSS MiB")]]],
  );
});

/** What a terminal, or a file, was told. */
function listener(isTTY: boolean, columns = 60) {
  const heard: string[] = [];
  return { isTTY, columns, heard, write: (text: string) => heard.push(text) > 0 };
}

const PARTS = [
  { name: "first", seconds: 60, lines: 2 },
  { name: "second", seconds: 180, lines: 1 },
];

test("progress in a file: plain lines, one more for each part", () => {
  let now = 0;
  const file = listener(false);
  const progress = new Progress(file, PARTS, () => now);
  progress.say("before");
  progress.next();
  progress.say("half of it");
  now = 30_000;
  progress.next();
  progress.end();
  assert.deepEqual(file.heard, [
    "before\n",
    "first (1 of 2), 0 %, about 4 minutes left\n",
    "half of it\n",
    "second (2 of 2), 25 %, about 2 minutes left\n",
  ]);
});

test("progress on a terminal: the last line stays last, is cut to the width, and goes", () => {
  let now = 0;
  const terminal = listener(true, 30);
  const progress = new Progress(terminal, PARTS, () => now);
  progress.next();
  now = 10_000;
  progress.say("half of it");
  progress.around(() => terminal.write("a table\n"));
  progress.end();
  const clear = "\r\u001b[2K";
  const status = `${clear}first (1 of 2), 13 %, about a minute left`.slice(0, clear.length + 29);
  assert.deepEqual(terminal.heard, [
    `${clear}first (1 of 2), 0 %, about 4 minutes left`.slice(0, clear.length + 29),
    clear,
    "half of it\n",
    status,
    clear,
    "a table\n",
    status,
    clear,
  ]);
});

test("every row of the benchmark has a length and lines", () => {
  const options = readOptions(["--contenders", "direct,oneport", "--rounds", "3"]);
  for (const row of ROWS) {
    const { name, seconds, lines } = partOf(row, options);
    assert.ok(name === row.name && seconds > 0 && lines > 0, row.name);
  }
  assert.equal(partOf(ROWS[0]!, options).lines, 2 * (1 + 3));
});

const files: [why: string, args: string[], html: string | undefined][] = [
  ["with nothing said", [], undefined],
  ["next to the markdown", ["--markdown", "/tmp/a.md"], "/tmp/a.html"],
  ["next to markdown with another name", ["--markdown", "/tmp/a"], "/tmp/a.html"],
  ["where it is asked for", ["--markdown", "/tmp/a.md", "--html", "/tmp/b.htm"], "/tmp/b.htm"],
  ["alone", ["--html", "/tmp/b.html"], "/tmp/b.html"],
];
for (const [why, args, html] of files) {
  test(`the benchmark's page ${why}`, () => assert.equal(readOptions(args).html, html));
}

for (const all of ["ab", "abcd", "abcdef"]) {
  test(`${all.length} contenders: in as many rounds each has each place once, and stands behind each other one once`, () => {
    const rounds = Array.from(all, (_, round) => inTurn(Array.from(all), round).join(""));
    const places = Array.from(all, (_, at) =>
      rounds
        .map((order) => order[at])
        .toSorted()
        .join(""),
    );
    assert.deepEqual(
      places,
      Array.from(all, () => all),
    );
    const pairs = rounds.flatMap((order) => Array.from(order.slice(1), (one, at) => `${order[at]}${one}`));
    assert.equal(new Set(pairs).size, all.length * (all.length - 1));
  });
}

test("an odd number of contenders, or none, takes turns as well", () => {
  assert.deepEqual(
    [0, 1, 2].map((round) => inTurn(["a", "b", "c"], round).join("")),
    ["abc", "bca", "cab"],
  );
  assert.deepEqual(inTurn([], 3), []);
});
