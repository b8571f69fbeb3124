import assert from "node:assert/strict";
import type { Command } from "../../scripts/deploy/plan.ts";
import { planDeploy } from "../../scripts/deploy/plan.ts";

export const SCRIPT = new URL("../../scripts/deploy.ts", import.meta.url).pathname;
export const PLACE = ["--project", "my-project", "--region", "europe-west1"];
export const AUTH = ["--audience", "https://api.example.com", "--accounts", "a@example.com,b@example.com"];

export function commands(argv: readonly string[]): readonly Command[] {
  const planned = planDeploy(argv);
  assert.equal(planned.kind, "commands", JSON.stringify(planned));
  return "commands" in planned ? planned.commands : [];
}
