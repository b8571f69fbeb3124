import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import { GatheredOutput } from "../../edge/observe/log-output.ts";
import { ROOT } from "../support/processes.ts";

/** A pipe that takes as much as it is told to. */
class Pipe {
  room = Infinity;
  isGone = false;
  readonly writes: string[] = [];

  readonly write = (bytes: Buffer): number => {
    if (this.isGone) throw new Error("nobody reads");
    const taken = Math.min(this.room, bytes.length);
    this.room -= taken;
    if (taken > 0) this.writes.push(bytes.toString("latin1", 0, taken));
    return taken;
  };

  get text(): string {
    return this.writes.join("");
  }
}

function line(name: string | number, length = 10): Buffer {
  return Buffer.from(`${String(name).padEnd(length - 1, ".")}\n`);
}

test("lines leave together, whole, when there are enough for a piece", () => {
  const pipe = new Pipe();
  const output = new GatheredOutput(pipe.write, 25);
  for (const name of ["a", "b", "c"]) output.write(line(name));
  assert.deepEqual(pipe.writes, [`${line("a")}${line("b")}`]);
  output.flush();
  assert.equal(pipe.writes[1], `${line("c")}`);
});

test("what is not enough for a piece leaves after a while", async () => {
  const pipe = new Pipe();
  const output = new GatheredOutput(pipe.write);
  output.write(line("a"));
  while (pipe.text === "") await new Promise((resolve) => setTimeout(resolve, 5));
  assert.equal(pipe.text, `${line("a")}`);
});

test("a line that is longer than a piece leaves in its turn", () => {
  const pipe = new Pipe();
  const output = new GatheredOutput(pipe.write, 25);
  output.write(line("a"));
  output.write(line("long", 60));
  output.write(line("b"));
  output.flush();
  assert.equal(pipe.text, `${line("a")}${line("long", 60)}${line("b")}`);
});

test("a long line that a full pipe does not take leaves when it does, without another line behind it", async () => {
  const pipe = new Pipe();
  pipe.room = 0;
  const output = new GatheredOutput(pipe.write, 25);
  output.write(line("long", 60));
  pipe.room = Infinity;
  while (pipe.text === "") await new Promise((resolve) => setTimeout(resolve, 5));
  assert.equal(pipe.text, `${line("long", 60)}`);
});

test("a line's bytes may be used again once it was taken", () => {
  const pipe = new Pipe();
  pipe.room = 0;
  const output = new GatheredOutput(pipe.write, 10);
  const bytes = line("a");
  output.write(bytes);
  output.flush();
  bytes.fill("x");
  pipe.room = Infinity;
  output.flush();
  assert.equal(pipe.text, `${line("a")}`);
});

test("a full pipe: nothing waits for it, and what it takes later is in order and whole", async () => {
  const pipe = new Pipe();
  pipe.room = 17;
  const output = new GatheredOutput(pipe.write, 25);
  const names = Array.from({ length: 20 }, (_, at) => at);
  for (const name of names) output.write(line(name));
  output.flush();
  assert.equal(pipe.text.length, 17);
  pipe.room = Infinity;
  while (pipe.text.length < 200) await new Promise((resolve) => setTimeout(resolve, 5));
  assert.equal(pipe.text, names.map((name) => `${line(name)}`).join(""));
  assert.equal(output.dropped, 0);
});

test("a pipe that takes nothing: a megabyte waits, the rest is thrown away and counted", () => {
  const pipe = new Pipe();
  pipe.room = 5;
  const output = new GatheredOutput(pipe.write, 1000);
  for (let at = 0; at < 20_000; at++) output.write(line(at, 100));
  output.flush();
  pipe.room = Infinity;
  output.flush();
  const lines = pipe.text.trimEnd().split("\n");
  assert.equal(lines.length + output.dropped, 20_000);
  assert.ok(pipe.text.length <= 1_048_576 + 1000, `${pipe.text.length}`);
  assert.ok(pipe.text.length > 1_000_000, `${pipe.text.length}`);
  assert.ok(lines.every((text) => text.length === 99));
});

test("a pipe that nobody reads any more: everything is thrown away and counted", () => {
  const pipe = new Pipe();
  pipe.room = 0;
  const output = new GatheredOutput(pipe.write, 25);
  for (const name of [1, 2, 3, 4]) output.write(line(name));
  pipe.isGone = true;
  output.flush();
  output.write(line(5));
  output.flush();
  assert.equal(output.dropped, 5);
});

const WRITER = `
  import { standardOutput } from "${ROOT}edge/observe/log-output.ts";
  const output = standardOutput(process.argv[1] === "shared");
  for (let at = 0; at < 3000; at++) output.write(Buffer.from(String(at).padEnd(99, ".") + "\\n"));
  process.stderr.write("written");
  process.exit(7);
`;

for (const who of ["alone", "shared"]) {
  test(`an exit loses no line that a slow reader has not taken yet (${who})`, async () => {
    const child = spawn(process.execPath, ["--input-type=module", "-e", WRITER, who]);
    await once(child.stderr, "data");
    let text = "";
    child.stdout.on("data", (chunk: Buffer) => (text += chunk.toString()));
    const [code] = (await once(child, "close")) as [number];
    assert.equal(code, 7);
    const lines = text.trimEnd().split("\n");
    assert.deepEqual([lines.length, Number.parseInt(lines.at(-1) ?? "", 10)], [3000, 2999]);
  });
}

test("an exit does not wait for ever for a reader that takes nothing", async () => {
  const child = spawn(process.execPath, ["--input-type=module", "-e", WRITER, "alone"]);
  child.stdout.pause();
  const [code] = (await once(child, "exit")) as [number];
  assert.equal(code, 7);
  child.stdout.destroy();
});
