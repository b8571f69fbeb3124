import type { Log } from "../../edge/log.ts";
import { createLog } from "../../edge/log.ts";

/** A log that nobody reads. */
export const SILENCE: Log = createLog(
  { level: "silent", format: "json" },
  { write: () => {}, flush: () => {}, dropped: 0 },
);
