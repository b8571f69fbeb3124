import { EdgeError } from "../errors.ts";
import { CODE } from "./frame.ts";

/** What a reset of the peer's means: it is gone, with the code where that says more. */
export function resetBy(code: number, gone: EdgeError): EdgeError {
  return code === CODE.NO_ERROR || code === CODE.CANCEL
    ? gone
    : new EdgeError(gone.code, `${gone.row.text} (HTTP/2 reset code ${code})`);
}
