import { readFileSync } from "node:fs";
import type { RequestListener } from "node:http";
import { extname } from "node:path";
import { stripTypeScriptTypes } from "node:module";

const ROOT = new URL("../../../", import.meta.url);

/** What a page may load by name; each is looked up as Node would. */
const NAMES = [
  "@bufbuild/protobuf",
  "@bufbuild/protobuf/codegenv2",
  "@bufbuild/protobuf/reflect",
  "@bufbuild/protobuf/wire",
  "@bufbuild/protobuf/wkt",
  "@connectrpc/connect",
  "@connectrpc/connect/protocol",
  "@connectrpc/connect/protocol-connect",
  "@connectrpc/connect/protocol-grpc-web",
  "@connectrpc/connect-web",
];

const imports = Object.fromEntries([
  ...NAMES.map((name) => [name, import.meta.resolve(name).slice(ROOT.href.length - 1)] as const),
  // Node takes the package's CommonJS, bundlers its `module`.
  ["grpc-web", "/node_modules/grpc-web/index.esm.js"] as const,
]);

const PAGE = `<!doctype html><link rel="icon" href="data:," /><script type="importmap">${JSON.stringify({ imports })}</script>
<script type="module" src="/test/support/browser/clients.ts"></script>`;

/** A web server's part: a page, and the modules it is made of as they lie in the folder, without a bundler. */
export const pages: RequestListener = (req, res) => {
  const path = req.url ?? "/";
  const html = { "content-type": "text/html", "set-cookie": "session=s1" };
  if (path === "/") return void res.writeHead(200, html).end(PAGE);
  if (!/^\/(node_modules|services|test)\/[\w@./-]+\.[jt]s$/.test(path)) return void res.writeHead(404).end();
  const source = readFileSync(new URL(`.${path}`, ROOT), "utf8");
  res.writeHead(200, { "content-type": "text/javascript" });
  res.end(extname(path) === ".ts" ? stripTypeScriptTypes(source) : source);
};
