/** A header block that cannot be decoded: COMPRESSION_ERROR for the whole connection (RFC 9113, section 4.3). */
export class HpackError extends Error {}
