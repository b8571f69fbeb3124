/**
 * How Node runs the edge. Next to nothing of what a request needs outlives it, so the young generation (MiB) may be small: that
 * halves the memory of a busy edge, and costs no CPU that could be measured (docs/benchmarks.md).
 */
export const EDGE_FLAGS: readonly string[] = ["--max-semi-space-size=2"];
