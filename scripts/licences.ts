import { readFileSync, writeFileSync } from "node:fs";

const FILE = new URL("../docs/licences.md", import.meta.url).pathname;
const LOCK = new URL("../package-lock.json", import.meta.url).pathname;

/** Licences that ask for no more than their text and the names of the authors, which the packages in the image carry. */
const PERMISSIVE = new Set([
  "MIT",
  "ISC",
  "0BSD",
  "BSD-2-Clause",
  "BSD-3-Clause",
  "Apache-2.0",
  "BlueOak-1.0.0",
]);

interface Locked {
  readonly version: string;
  readonly license?: string;
  readonly dev?: boolean;
  readonly optional?: boolean;
  readonly devOptional?: boolean;
}

export interface Shipped {
  readonly name: string;
  readonly version: string;
  /** An SPDX expression. */
  readonly licence: string;
}

/** What the image's `npm ci --omit=dev --omit=optional` installs, by name. Throws where a package states no licence. */
export function shippedPackages(lock: string = readFileSync(LOCK, "utf8")): Shipped[] {
  const { packages } = JSON.parse(lock) as { packages: Record<string, Locked> };
  const shipped = new Map<string, Shipped>();
  for (const [path, { version, license, dev, optional, devOptional }] of Object.entries(packages)) {
    if (path === "" || dev === true || optional === true || devOptional === true) continue;
    const name = path.slice(path.lastIndexOf("node_modules/") + "node_modules/".length);
    if (license === undefined) throw new Error(`${name} ${version} states no licence`);
    shipped.set(`${name} ${version}`, { name, version, licence: license });
  }
  return [...shipped.values()].toSorted((a, b) => (a.name < b.name ? -1 : Number(a.name > b.name)));
}

/** True when every licence in an SPDX expression is one that asks for nothing but attribution. */
export function isPermissive(licence: string): boolean {
  return licence
    .replaceAll(/[()]/g, "")
    .split(/ AND | OR /)
    .every((name) => PERMISSIVE.has(name));
}

/** docs/licences.md, from the lock file. */
export function licencesPage(packages: readonly Shipped[] = shippedPackages()): string {
  const counts = new Map<string, number>();
  for (const { licence } of packages) counts.set(licence, (counts.get(licence) ?? 0) + 1);
  const summary = [...counts]
    .toSorted(([, a], [, b]) => b - a)
    .map(([licence, count]) => `${count} ${licence}`);
  return `# Licences of what ships

oneport is under the [MIT licence](../LICENSE). The image also holds its base (\`node:24-slim\`: Debian, Node.js) and these ${packages.length} packages from npm, each with
its licence text in its folder: ${summary.join(", ")}.

This page is made from \`package-lock.json\` by \`npm run licences\`; a test keeps it so, and fails on a licence that asks for more than attribution.

| package | version | licence |
|---|---|---|
${packages.map(({ name, version, licence }) => `| ${name} | ${version} | ${licence} |`).join("\n")}
`;
}

if (import.meta.main) writeFileSync(FILE, licencesPage());
