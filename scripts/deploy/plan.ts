import { readOptions } from "./options.ts";
import type { Options } from "./options.ts";
import { joinPairs, serviceSettings } from "./settings.ts";

/** A program and its arguments. */
export type Command = readonly [file: string, ...args: string[]];

/** What a command line asks for: help, its own correction, or commands to run in order. */
export type Deployment =
  | { readonly kind: "help" }
  | { readonly kind: "mistakes"; readonly mistakes: readonly string[] }
  | { readonly kind: "commands"; readonly dryRun: boolean; readonly commands: readonly Command[] };

/** The longest a request, a stream or a WebSocket may last; Cloud Run allows no more. */
const TIMEOUT_SECONDS = 3600;

/** Decides what to run. Pure: same words, same answer. */
export function planDeploy(argv: readonly string[]): Deployment {
  const { options, mistakes } = readOptions(argv);
  if (options.has("help")) return { kind: "help" };
  const settings = serviceSettings(options);
  const joined = joinPairs(settings.pairs);
  const all = [...mistakes, ...settings.mistakes];
  if (joined === undefined) all.push("--env: the values contain every delimiter that gcloud could be given.");
  if (all.length > 0 || joined === undefined) return { kind: "mistakes", mistakes: all };
  const image = imageOf(options);
  return {
    kind: "commands",
    dryRun: options.has("dry-run"),
    commands: [build(options, image), deploy(options, image, joined)],
  };
}

/** A command as a line for a POSIX shell, ready to be copied. */
export function shellLine(command: Command): string {
  return command.map(quote).join(" ");
}

function build(options: Options, image: string): Command {
  return ["gcloud", "builds", "submit", "--project", text(options, "project"), "--tag", image, "."];
}

function deploy(options: Options, image: string, settings: string): Command {
  const account = options.value("service-account");
  // prettier-ignore
  return [
    "gcloud", "run", "deploy", text(options, "service"),
    "--project", text(options, "project"),
    "--region", text(options, "region"),
    "--image", image,
    "--port", "8080",
    options.has("http2") ? "--use-http2" : "--no-use-http2",
    // The edge authenticates: a token that Cloud Run has checked loses its signature and proves nothing to it.
    "--allow-unauthenticated",
    "--timeout", String(TIMEOUT_SECONDS),
    "--concurrency", text(options, "concurrency"),
    ...(account === undefined ? [] : ["--service-account", account]),
    "--set-env-vars", settings,
  ];
}

/** A domain-scoped project (`example.com:name`) is a path of two in an image's name. */
function imageOf(options: Options): string {
  const project = text(options, "project").replace(":", "/");
  const host = `${text(options, "region")}-docker.pkg.dev`;
  return [host, project, text(options, "repository"), text(options, "service")].join("/");
}

/** The value of an option that is required or has a default. */
function text(options: Options, name: Parameters<Options["value"]>[0]): string {
  const value = options.value(name);
  if (value === undefined) throw new Error(`--${name} was not checked`);
  return value;
}

function quote(word: string): string {
  return /^[A-Za-z0-9_/:=.,@%+-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}
