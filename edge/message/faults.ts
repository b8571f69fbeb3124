/**
 * Makes the errors for a message that is not plainly valid: who sent it decides which. `why` finishes the sentence
 * "the worker sent …", or "the client sent …".
 */
export interface Faults {
  invalid(why: string): Error;
  /** For a head or trailers over their limit. */
  tooLarge(why: string): Error;
}
