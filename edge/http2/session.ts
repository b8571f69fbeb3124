/** Bytes one stream may have under way; the memory a stuck stream can hold. */
export const STREAM_WINDOW = 256 * 1024;

/** Bytes one connection may have under way: far above a stream's, so that stuck streams do not starve the others. */
export const CONNECTION_WINDOW = 32 * 1024 * 1024;

/**
 * Node by itself throws when a field that it takes for a single-valued one is repeated, such as
 * `x-content-type-options`; what workers and clients send is theirs to say. (Its types do not know the option yet.)
 */
export const LENIENT: object = { strictSingleValueFields: false };
