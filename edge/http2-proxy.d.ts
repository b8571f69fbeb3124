/** The part of http2-proxy that oneport uses. The package's own declarations name exports that an ES module does not get. */
declare module "http2-proxy" {
  interface ProxyTarget {
    method: string;
    path: string;
    headers: Record<string, string | string[]>;
  }

  interface Hooks {
    /** Makes the request to the worker. */
    onReq: (request: unknown, target: ProxyTarget) => unknown;
    /** Writes the reply. */
    onRes: (request: unknown, response: unknown, reply: unknown) => void;
  }

  const proxy: {
    web(request: unknown, response: unknown, hooks: Hooks): Promise<void>;
    ws(request: unknown, socket: unknown, head: Buffer, hooks: Hooks): Promise<void>;
  };
  export default proxy;
}
