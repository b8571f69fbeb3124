import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { isPermissive, licencesPage, shippedPackages } from "../../scripts/licences.ts";
import { ROOT, output } from "../support/processes.ts";

test("docs/licences.md is what the lock file says (npm run licences)", () => {
  assert.equal(readFileSync(join(ROOT, "docs/licences.md"), "utf8"), licencesPage());
});

test("everything that ships asks for attribution only", () => {
  const others = shippedPackages().filter(({ licence }) => !isPermissive(licence));
  assert.deepEqual(others, []);
});

test("the product's own dependencies are among what ships, and its tools are not", () => {
  const names = new Set(shippedPackages().map(({ name }) => name));
  const manifest = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as Record<
    "dependencies" | "devDependencies",
    Record<string, string>
  >;
  for (const name of Object.keys(manifest.dependencies)) assert.ok(names.has(name), name);
  // Types of Node are a dependency of protobufjs.
  const tools = Object.keys(manifest.devDependencies).filter((name) => name !== "@types/node");
  for (const name of tools) assert.ok(!names.has(name), name);
});

const expressions: [licence: string, permissive: boolean][] = [
  ["MIT", true],
  ["(Apache-2.0 AND BSD-3-Clause)", true],
  ["(MIT OR GPL-3.0-only)", false],
  ["AGPL-3.0-only", false],
  ["SEE LICENSE IN LICENSE.md", false],
];
for (const [licence, permissive] of expressions)
  test(`${licence} is ${permissive ? "" : "not "}permissive`, () =>
    assert.equal(isPermissive(licence), permissive));

test("a package without a licence is a mistake", () => {
  const lock = JSON.stringify({ packages: { "": {}, "node_modules/a": { version: "1.0.0" } } });
  assert.throws(() => shippedPackages(lock), /a 1\.0\.0 states no licence/);
});

test("the bill of materials is CycloneDX, and lists what ships and nothing else (npm run sbom)", async () => {
  const { exited, out } = await output("npm", ["run", "--silent", "sbom"]);
  assert.equal((await exited).code, 0);
  const bill = JSON.parse(out) as { bomFormat: string; components: { name: string; version: string }[] };
  assert.equal(bill.bomFormat, "CycloneDX");
  const listed = new Set(bill.components.map(({ name, version }) => `${name} ${version}`));
  assert.deepEqual(listed, new Set(shippedPackages().map(({ name, version }) => `${name} ${version}`)));
});
