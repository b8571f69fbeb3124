// Loaded first by --import: at its end, the process says in a line of JSON what it had loaded.
import { writeSync } from "node:fs";
import { registerHooks } from "node:module";

const files = [];
registerHooks({
  load(url, context, next) {
    files.push(url);
    return next(url, context);
  },
});
process.once("exit", () => {
  const undici = process.moduleLoadList.some((name) => name.includes("deps/undici"));
  writeSync(2, `${JSON.stringify({ program: process.argv[1], undici, files })}\n`);
});
