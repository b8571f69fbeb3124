/** Bytes one stream may have under way at first; the memory that one can hold of which nobody takes anything. */
export const FIRST_WINDOW = 64 * 1024;

/** Bytes that it may have once so many have been taken. */
export const STREAM_WINDOW = 256 * 1024;

/** Bytes one connection may have under way: far above a stream's, so that stuck streams do not starve the others. */
export const CONNECTION_WINDOW = 32 * 1024 * 1024;

/** What a client says first (RFC 9113, section 3.4). */
export const PREFACE = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "latin1");
