/** A generator's failure in one line, which is what the report quotes, instead of a stack. */
export function complainInOneLine(): void {
  process.on("uncaughtException", (error) => {
    process.stderr.write(`${error.message}\n`);
    process.exit(1);
  });
}
