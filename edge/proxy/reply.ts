import type { Exchange, HeaderList } from "../exchange.ts";
import { toClient, trailersToClient, withoutFields } from "../headers.ts";
import { Recall } from "../recall.ts";

const NO_TRAILERS: HeaderList = [];

const TO_CLIENT = new Recall<HeaderList, HeaderList>(toClient);

/**
 * Passes the head of a worker's reply on; it goes at once, since a reply that dribbles (SSE) must not wait for its first
 * byte. Answers whether that ends the reply, whatever the worker still sends.
 */
export function respond(exchange: Exchange, status: number, headers: HeaderList, end: boolean): boolean {
  const fields = TO_CLIENT.of(headers);
  // RFC 9110, sections 8.6 and 15.3.6: neither has a body, and a length would promise one.
  const head = status === 204 || status === 205 ? withoutFields(fields, "content-length") : fields;
  const over = end || status === 205;
  exchange.respond(status, head, over);
  return over;
}

/** The reply is complete. */
export function endReply(exchange: Exchange, trailers: HeaderList): void {
  exchange.end(trailers.length === 0 ? NO_TRAILERS : trailersToClient(trailers));
}
