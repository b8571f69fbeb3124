import { toEdgeError } from "../errors.ts";
import type { Http1Upstream } from "../upstream/http1/upstream.ts";
import type { Forward } from "./forward.ts";

/** Forwards as soon as the worker can be told who the edge is: nearly always at once, since that is known in advance. */
export function onceIdentified(
  forward: (forward: Forward<Http1Upstream>) => void,
): (forward: Forward<Http1Upstream>) => void {
  return (one) => {
    const { origin } = one.upstream;
    if (origin === undefined || origin.credentials.isReady) return forward(one);
    origin.credentials
      .ready()
      .then(() => forward(one))
      .catch((thrown: unknown) => one.done(toEdgeError(thrown)));
  };
}
