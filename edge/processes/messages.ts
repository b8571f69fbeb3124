import type { UpstreamsView } from "../admin/admin.ts";
import type { Family } from "../observe/families.ts";
import type { Upstreams } from "../upstream/swap.ts";

/** What the parent says to a child. A connection comes with its socket. */
export type ToChild =
  | { readonly kind: "connection"; readonly id: number }
  | { readonly kind: "ask"; readonly id: number; readonly metrics: boolean }
  | { readonly kind: "swap"; readonly upstreams: Upstreams }
  | { readonly kind: "drain" };

/** What a child knows of its own work; `running` counts exchanges. Metrics only where they were asked for. */
export interface Report {
  readonly running: number;
  readonly upstreams: UpstreamsView;
  readonly families: readonly Family[] | undefined;
}

/** What a child says to the parent. */
export type ToParent =
  | { readonly kind: "ready" }
  /** The ids of the connections it has taken, and how many have closed, since it said so last. */
  | { readonly kind: "connections"; readonly taken: readonly number[]; readonly closed: number }
  | { readonly kind: "report"; readonly id: number; readonly report: Report };
