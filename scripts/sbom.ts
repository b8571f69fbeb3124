import { execFileSync } from "node:child_process";
import { shippedPackages } from "./licences.ts";

interface Bill {
  readonly components: readonly {
    readonly "bom-ref": string;
    readonly name: string;
    readonly version: string;
  }[];
  readonly dependencies: readonly { readonly ref: string; readonly dependsOn: readonly string[] }[];
}

/**
 * The CycloneDX bill of materials of what the image's `npm ci` installs. npm's own `--omit=dev` leaves out what ships and is
 * a dependency of a tool as well (npm 11), so the bill of everything is narrowed down here.
 */
export function narrow<B extends Bill>(bill: B): B {
  const shipped = new Set(shippedPackages().map(({ name, version }) => `${name} ${version}`));
  const components = bill.components.filter(({ name, version }) => shipped.has(`${name} ${version}`));
  const refs = new Set(components.map((component) => component["bom-ref"]));
  // What is left of the rest is oneport itself, which is no component.
  const others = new Set(
    bill.components.map((component) => component["bom-ref"]).filter((ref) => !refs.has(ref)),
  );
  const dependencies = bill.dependencies
    .filter(({ ref }) => !others.has(ref))
    .map(({ ref, dependsOn }) => ({ ref, dependsOn: dependsOn.filter((on) => !others.has(on)) }));
  return { ...bill, components, dependencies };
}

if (import.meta.main) {
  const whole = execFileSync("npm", ["sbom", "--sbom-format=cyclonedx"], {
    encoding: "utf8",
    maxBuffer: 1 << 28,
    stdio: ["ignore", "pipe", "inherit"],
  });
  process.stdout.write(`${JSON.stringify(narrow(JSON.parse(whole) as Bill), null, 2)}\n`);
}
