const SECOND_MS = 1000;

let second = -1;
let text = "";

/** A `date` field line (RFC 9110, section 6.6.1), made once a second. */
export function dateLine(): string {
  const now = Math.trunc(Date.now() / SECOND_MS);
  if (now !== second) {
    second = now;
    text = `date: ${new Date(now * SECOND_MS).toUTCString()}\r\n`;
  }
  return text;
}
