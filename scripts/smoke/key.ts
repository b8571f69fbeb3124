import { existsSync } from "node:fs";
import type { GoogleAuthOptions } from "google-auth-library";

/**
 * An ID token for `audience`, made with a service account's key through google-auth-library. Throws a sentence for a
 * person. `clientOptions` lets a test put another endpoint in Google's place.
 */
export async function tokenFromKey(
  keyFile: string,
  audience: string,
  clientOptions: NonNullable<GoogleAuthOptions["clientOptions"]> = {},
): Promise<string> {
  if (!existsSync(keyFile)) throw new Error(`--key: there is no file ${keyFile}`);
  const { GoogleAuth } = await import("google-auth-library");
  try {
    const client = await new GoogleAuth({ keyFilename: keyFile, clientOptions }).getIdTokenClient(audience);
    return await client.idTokenProvider.fetchIdToken(audience);
  } catch (thrown) {
    // The library's messages may hold parts of the key or the token; its code does not.
    const code =
      typeof thrown === "object" && thrown !== null && "code" in thrown ? ` (${String(thrown.code)})` : "";
    throw new Error(
      `--key: no ID token could be had with ${keyFile}${code}: is it a service account's key.json?`,
      { cause: thrown },
    );
  }
}
