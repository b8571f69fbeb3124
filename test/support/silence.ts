import type { Log } from "../../edge/observe/log.ts";
import { createLog } from "../../edge/observe/log.ts";

/** A log that nobody reads. */
export const SILENCE: Log = createLog(
  { level: "silent", format: "json" },
  { write: () => {}, flush: () => {}, dropped: 0 },
);
