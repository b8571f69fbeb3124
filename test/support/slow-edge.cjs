// Loaded first by NODE_OPTIONS=--require: the edge says so and then gets no further, with no signal handler set yet.
if ((process.argv[1] ?? "").endsWith("edge/main.ts")) {
  require("node:fs").writeSync(1, "the edge boots\n");
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 30_000);
}
