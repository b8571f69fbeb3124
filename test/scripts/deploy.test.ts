import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { planDeploy, shellLine } from "../../scripts/deploy/plan.ts";
import { AUTH, PLACE, commands } from "../support/deploy.ts";

function mistakes(argv: readonly string[]): readonly string[] {
  const planned = planDeploy(argv);
  assert.equal(planned.kind, "mistakes", JSON.stringify(planned));
  return "mistakes" in planned ? planned.mistakes : [];
}

/** The value after an option of `gcloud run deploy`. */
function deployed(argv: readonly string[], option: string): string | undefined {
  const [, deploy = ["gcloud"]] = commands(argv);
  assert.ok(deploy.includes(option), `${option} in ${deploy.join(" ")}`);
  return deploy[deploy.indexOf(option) + 1];
}

test("the image is built, then deployed", () => {
  assert.deepEqual(commands([...PLACE, ...AUTH]), [
    // prettier-ignore
    ["gcloud", "builds", "submit", "--project", "my-project", "--tag", "europe-west1-docker.pkg.dev/my-project/oneport/oneport", "."],
    // prettier-ignore
    [
      "gcloud", "run", "deploy", "oneport",
      "--project", "my-project",
      "--region", "europe-west1",
      "--image", "europe-west1-docker.pkg.dev/my-project/oneport/oneport",
      "--port", "8080",
      "--no-use-http2",
      "--allow-unauthenticated",
      "--timeout", "3600",
      "--concurrency", "250",
      "--set-env-vars", "^|^AUTH_AUDIENCE=https://api.example.com|AUTH_SERVICE_ACCOUNTS=a@example.com,b@example.com",
    ],
  ]);
});

const settings: [why: string, argv: string[], want: string][] = [
  [
    "an audience and accounts with a comma",
    AUTH,
    "^|^AUTH_AUDIENCE=https://api.example.com|AUTH_SERVICE_ACCOUNTS=a@example.com,b@example.com",
  ],
  [
    "any verified identity",
    ["--audience", "x", "--accounts", "*"],
    "^|^AUTH_AUDIENCE=x|AUTH_SERVICE_ACCOUNTS=*",
  ],
  ["an open door that was asked for", ["--auth-off"], "^|^AUTH_MODE=off"],
  [
    "further settings, in their order",
    ["--auth-off", "--env", "HTTP_WORKERS=2", "--env=LOG_LEVEL=warn"],
    "^|^AUTH_MODE=off|HTTP_WORKERS=2|LOG_LEVEL=warn",
  ],
  [
    "IAP instead of ID tokens",
    ["--audience", "/projects/1/global/backendServices/2", "--accounts", "*", "--env", "AUTH_MODE=iap"],
    "^|^AUTH_AUDIENCE=/projects/1/global/backendServices/2|AUTH_SERVICE_ACCOUNTS=*|AUTH_MODE=iap",
  ],
  [
    "a value with = and a comma",
    ["--auth-off", "--env", "HTTP_WORKER_COMMAND=run --a=b,c"],
    "^|^AUTH_MODE=off|HTTP_WORKER_COMMAND=run --a=b,c",
  ],
  [
    "another delimiter for a value with |",
    ["--auth-off", "--env", "HTTP_WORKER_COMMAND=a | b"],
    "^;^AUTH_MODE=off;HTTP_WORKER_COMMAND=a | b",
  ],
  [
    "a third for a value with | and ;",
    ["--auth-off", "--env", "HTTP_WORKER_COMMAND=a | b; c"],
    "^#^AUTH_MODE=off#HTTP_WORKER_COMMAND=a | b; c",
  ],
  ["an empty value", ["--auth-off", "--env", "MINE="], "^|^AUTH_MODE=off|MINE="],
];
for (const [why, argv, want] of settings) {
  test(`the service gets ${why}`, () => assert.equal(deployed([...PLACE, ...argv], "--set-env-vars"), want));
}

const options: [why: string, argv: string[], option: string, want: string][] = [
  ["a service of another name", ["--service", "api"], "deploy", "api"],
  [
    "its image",
    ["--service", "api", "--repository", "images"],
    "--image",
    "europe-west1-docker.pkg.dev/my-project/images/api",
  ],
  ["a concurrency", ["--concurrency", "1000"], "--concurrency", "1000"],
  [
    "a service account",
    ["--service-account", "api@my-project.iam.gserviceaccount.com"],
    "--service-account",
    "api@my-project.iam.gserviceaccount.com",
  ],
];
for (const [why, argv, option, want] of options) {
  test(`${why} is passed on`, () => assert.equal(deployed([...PLACE, ...AUTH, ...argv], option), want));
}

test("a domain-scoped project is two folders in the image's name", () => {
  const argv = ["--project", "example.com:my-project", "--region", "us-central1", "--auth-off"];
  assert.equal(
    deployed(argv, "--image"),
    "us-central1-docker.pkg.dev/example.com/my-project/oneport/oneport",
  );
  assert.equal(deployed(argv, "--project"), "example.com:my-project");
});

const modes: [argv: string[], flag: string, other: string][] = [
  [["--http2"], "--use-http2", "--no-use-http2"],
  [[], "--no-use-http2", "--use-http2"],
];
for (const [argv, flag, other] of modes) {
  test(`${argv.join() || "no flag"} means ${flag}`, () => {
    const [, deploy = ["gcloud"]] = commands([...PLACE, ...AUTH, ...argv]);
    assert.ok(deploy.includes(flag));
    assert.ok(!deploy.includes(other));
  });
}

const OPEN =
  "On Cloud Run (K_SERVICE is set) the door is never left open by accident: set --audience and --accounts, or --auth-off.";
const refused: [why: string, argv: string[], ...want: (RegExp | string)[]][] = [
  ["neither accounts nor an open door", [], OPEN],
  ["an audience alone", ["--audience", "x"], /^--audience is set without --accounts: /],
  ["accounts alone", ["--accounts", "*"], /^--accounts is set without --audience: /],
  [
    "an audience and an empty list",
    ["--audience", "x", "--accounts", ","],
    /^--audience is set without --accounts: /,
  ],
  [
    "an open door with accounts",
    ["--auth-off", ...AUTH],
    "--auth-off contradicts --audience: remove one of them.",
  ],
  [
    "an account that is no email",
    ["--audience", "x", "--accounts", "a@b.c,d"],
    '--accounts must be an email address or *, not "d".',
    /^--audience is set without --accounts: /,
  ],
  [
    "an open door by another name",
    ["--env", "AUTH_MODE=off"],
    /has an option of its own: --auth-off\.$/,
    OPEN,
  ],
  [
    "an audience by another name",
    [...AUTH, "--env", "AUTH_AUDIENCE=y"],
    /has an option of its own: --audience\.$/,
  ],
  [
    "accounts by another name",
    [...AUTH, "--env", "AUTH_SERVICE_ACCOUNTS=*"],
    /has an option of its own: --accounts\.$/,
  ],
  [
    "an open door and a mode",
    ["--auth-off", "--env", "AUTH_MODE=verify"],
    "--auth-off contradicts --env AUTH_MODE: remove one of them.",
  ],
  [
    "a setting that is misspelt",
    [...AUTH, "--env", "TRUSTED_HOP=1"],
    "TRUSTED_HOP is not a setting; did you mean TRUSTED_HOPS?",
  ],
  [
    "a setting with a wrong value",
    [...AUTH, "--env", "DRAIN_SECONDS=x"],
    /^DRAIN_SECONDS must be a whole number/,
  ],
  ["a port of one's own", [...AUTH, "--env", "PORT=9000"], '--env "PORT=9000" is set by Cloud Run.'],
  ["a setting without a value", [...AUTH, "--env", "LOG_LEVEL"], '--env "LOG_LEVEL" must be NAME=VALUE.'],
  ["a setting without a name", [...AUTH, "--env", "=x"], '--env "=x" must be NAME=VALUE.'],
  ["a setting given twice", [...AUTH, "--env", "A=1", "--env", "A=2"], "--env A is given twice."],
  ["a line break", [...AUTH, "--env", "A=1\n2"], '--env "A=1\\n2" contains a control character.'],
  ["values with every delimiter", [...AUTH, "--env", "A=|;#~"], /^--env: the values contain every delimiter/],
  ["an option that is none", [...AUTH, "--htpp2"], "--htpp2 is not an option."],
  ["a name every object has", [...AUTH, "--constructor"], "--constructor is not an option."],
  ["a word that is no option", [...AUTH, "now"], '"now" is not an option.'],
  ["a flag with a value", [...AUTH, "--http2=no"], "--http2 takes no value."],
  ["an option given twice", [...AUTH, "--region", "us-central1"], "--region is given twice."],
  [
    "a concurrency that Cloud Run refuses",
    [...AUTH, "--concurrency", "1001"],
    /^--concurrency must be a whole number from 1 to 1000/,
  ],
  ["a service name with capitals", [...AUTH, "--service", "Api"], /^--service must be/],
  ["a repository name with a slash", [...AUTH, "--repository", "a/b"], /^--repository must be/],
  ["a service account that is no email", [...AUTH, "--service-account", "me"], /^--service-account must be/],
];
for (const [why, argv, ...want] of refused) {
  test(`refuses ${why}`, () => {
    const found = mistakes([...PLACE, ...argv]);
    assert.equal(found.length, want.length, found.join("\n"));
    const patterns = want.map((one) =>
      typeof one === "string" ? new RegExp(`^${RegExp.escape(one)}$`) : one,
    );
    for (const [index, pattern] of patterns.entries()) assert.match(found[index] ?? "", pattern);
  });
}

/** Values that are there and say nothing: whatever the edge makes of them, only --auth-off opens the door. */
const blank: [why: string, argv: string[]][] = [
  ["an empty list", ["--accounts", ","]],
  ["a blank audience", ["--audience", " "]],
  ["a blank audience and a blank list", ["--audience=", "--accounts= "]],
  ["a blank mode", ["--env", "AUTH_MODE= "]],
];
for (const [why, argv] of blank) {
  test(`${why} does not open the door`, () => assert.notDeepEqual(mistakes([...PLACE, ...argv]), []));
}

const places: [why: string, argv: string[], want: string[]][] = [
  [
    "no place at all",
    [],
    [
      "--project is missing: the Google Cloud project.",
      "--region is missing: where the service and its image are.",
    ],
  ],
  ["a value that is the next option", ["--project", "--region=us-central1"], ["--project needs a value."]],
  [
    "an option at the end without a value",
    ["--project", "my-project", "--region"],
    ["--region needs a value."],
  ],
  [
    "a project and a region of the wrong form",
    ["--project", "My Project", "--region", "Europe"],
    [
      '--project must be a project id such as my-project-123, not "My Project".',
      '--region must be a region such as europe-west1, not "Europe".',
    ],
  ],
];
for (const [why, argv, want] of places) {
  test(`refuses ${why}`, () => assert.deepEqual(mistakes([...argv, ...AUTH]), want));
}

test("every mistake is told at once", () => {
  assert.deepEqual(mistakes(["--foo", "--concurrency", "0", "--env", "PORT=1", "--audience", "x"]), [
    "--foo is not an option.",
    "--project is missing: the Google Cloud project.",
    "--region is missing: where the service and its image are.",
    '--concurrency must be a whole number from 1 to 1000, not "0".',
    '--env "PORT=1" is set by Cloud Run.',
    "--audience is set without --accounts: say who may call, or * for any verified identity.",
  ]);
});

for (const flag of ["--help", "-h"]) {
  test(`${flag} wins over mistakes`, () => assert.deepEqual(planDeploy([flag, "--foo"]), { kind: "help" }));
}

const words = [
  "plain",
  "",
  "two words",
  "it's",
  '"',
  "$HOME",
  "`id`",
  "*",
  "^|^A=1|B=a,b",
  "a\\b",
  "!x",
  "~",
  "#",
  "ä",
  "--a=b",
];
for (const word of words) {
  test(`a shell reads ${JSON.stringify(word)} back as it was`, () => {
    const line = shellLine(["printf", "%s|", word, "end"]);
    assert.equal(spawnSync("/bin/sh", ["-c", line], { encoding: "utf8" }).stdout, `${word}|end|`);
  });
}
