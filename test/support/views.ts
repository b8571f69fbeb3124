import type { EndpointView } from "../../edge/admin/admin.ts";

/** What the admin port shows of a worker that was neither checked nor ejected so far. */
export const UNTROUBLED: Pick<EndpointView, "checks" | "ejections"> = {
  checks: { passed: 0, failed: 0 },
  ejections: 0,
};
