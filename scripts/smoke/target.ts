import { tokenFromKey } from "./key.ts";

/** What a command line may say of who is calling. */
interface CallerOptions {
  readonly key?: string | undefined;
  readonly audience?: string | undefined;
  readonly token?: string | undefined;
}

/** Where the edge is: `--server`, or else PORT of this machine. Throws a sentence for a person, without what is secret in it. */
export function serverUrl(
  server: string | undefined,
  env: Readonly<Record<string, string | undefined>>,
): URL {
  const text = server ?? `http://localhost:${env["PORT"] ?? "8080"}`;
  const url = URL.parse(text);
  if (url !== null && (url.username !== "" || url.password !== ""))
    throw new Error("--server must not contain a name or a password");
  if (url === null || !/^https?:$/.test(url.protocol))
    throw new Error(`--server must be an http:// or https:// URL, not ${JSON.stringify(text)}`);
  return url;
}

/** The ID token that is given, or one made with the key that is; undefined without either. Throws a sentence for a person. */
export async function tokenOf(
  { key, audience, token }: CallerOptions,
  url: URL,
): Promise<string | undefined> {
  if (key === undefined) return token;
  if (token !== undefined) throw new Error("give --key or --token, not both");
  return tokenFromKey(key, audience ?? url.origin);
}
