/** What every HTTP/2 connection by prior knowledge begins with (RFC 9113, section 3.4). */
const PREFACE = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "latin1");

/** Bytes of the preface that no HTTP/1.1 request begins with: `PRI` is not a method that anyone serves. */
const ENOUGH = 14;

/** Tells a connection's protocol from its first bytes; "more" when they are too few to say. */
export function sniff(bytes: Buffer): "http1" | "http2" | "more" {
  const length = Math.min(bytes.length, ENOUGH);
  if (bytes.compare(PREFACE, 0, length, 0, length) !== 0) return "http1";
  return length === ENOUGH ? "http2" : "more";
}
