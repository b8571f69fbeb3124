import type { FailureCode } from "../../edge/errors.ts";
import { FAILURES } from "../../edge/errors.ts";
import type { Answer } from "./answer.ts";
import { members } from "./answer.ts";

/** Who answered in place of a worker, and what to change. */
export interface Refusal {
  readonly by: "the edge" | "Google's front end" | "IAP" | "a proxy in front";
  readonly saw: string;
  readonly change: string;
  /** The edge's own failure. */
  readonly code?: FailureCode;
  readonly message?: string;
}

type Protocol = "HTTP" | "gRPC" | "WebSocket";

const SETTING: Readonly<Record<Protocol, string>> = {
  HTTP: "HTTP_UPSTREAMS",
  gRPC: "GRPC_UPSTREAMS",
  WebSocket: "WS_UPSTREAMS",
};

/** Who refused, if it was not the worker who answered. */
export function refusalOf(answer: Answer, protocol: Protocol = "HTTP"): Refusal | undefined {
  const { error, message } = members(answer.body);
  if (isCode(error) && typeof message === "string" && FAILURES[error].http === answer.status)
    return byEdge(error, message, protocol, answer.status);
  if (isIap(answer)) return IAP;
  if (isGoogle(answer)) return byGoogle(answer);
  return byProxy(answer);
}

/** The edge's refusal of a gRPC call, told by its words. */
export function grpcRefusalOf(status: number, message: string): Refusal | undefined {
  const found = Object.entries(FAILURES).find(([, { grpc, text }]) => grpc === status && text === message);
  const code = found?.[0] ?? (status === 16 ? "unauthenticated" : undefined);
  return isCode(code) ? byEdge(code, message, "gRPC", status) : undefined;
}

function isCode(value: unknown): value is FailureCode {
  return typeof value === "string" && Object.hasOwn(FAILURES, value);
}

function byEdge(code: FailureCode, message: string, protocol: Protocol, status: number): Refusal {
  const changes: Readonly<Partial<Record<FailureCode, string>>> = {
    unauthenticated: "Give a token that the edge accepts (--token, --key).",
    forbidden: "Add the caller's email to AUTH_SERVICE_ACCOUNTS.",
    keys_unavailable:
      "Let the edge reach the verification keys (Google's, or AUTH_CERTS_URL): its log says why it cannot.",
    draining: "Try again: the instance that answered is being stopped.",
    overloaded: `Start more ${protocol} workers or instances, or raise LIMIT_UPSTREAM_ACTIVE.`,
    no_upstream: `Start the ${protocol} worker, and check ${SETTING[protocol]}: none of its addresses accepts connections.`,
    upstream_refused: `Start the ${protocol} worker, and check ${SETTING[protocol]}: its address accepts no connection.`,
    upstream_unprocessed: `Look at the ${protocol} worker's log: it refuses requests.`,
    upstream_reset: `Look at the ${protocol} worker's log: it broke off while answering.`,
    upstream_garbage: `Check that ${SETTING[protocol]} names a server of that protocol: what answers there is not valid.`,
    deadline: `Look at the ${protocol} worker's log: it did not answer in time.`,
  };
  return {
    by: "the edge",
    saw: `${status} from the edge: ${message}`,
    change: changes[code] ?? `Look for "${code}" in the edge's log.`,
    code,
    message,
  };
}

function isGoogle({ headers }: Answer): boolean {
  return headers["server"] === "Google Frontend";
}

/** IAP marks what it answers itself, and sends browsers to the sign-in page. */
function isIap({ status, headers }: Answer): boolean {
  if (headers["x-goog-iap-generated-response"] !== undefined) return true;
  return status === 302 && (headers["location"] ?? "").startsWith("https://accounts.google.com/");
}

const IAP: Refusal = {
  by: "IAP",
  saw: "Identity-Aware Proxy answered, the edge was not reached",
  change:
    "Give an ID token that IAP takes (its aud is IAP's client ID), of an account with roles/iap.httpsResourceAccessor.",
};

const BY_GOOGLE: Readonly<Record<number, string>> = {
  401: "Give Cloud Run a valid token of its own (--run-token; aud is the service's URL), or deploy with --allow-unauthenticated and let the edge check callers.",
  403: "Cloud Run checks callers itself here: send a token with aud = the service's URL of an account with roles/run.invoker in X-Serverless-Authorization (--run-token), or deploy with --allow-unauthenticated.",
  404: "Check the URL, and that the service's ingress lets callers in from here (--ingress all).",
  413: "Deploy with --use-http2: Cloud Run takes at most 32 MiB over HTTP/1.1.",
  429: "Raise --max-instances or --concurrency: no instance was free.",
  500: "Raise --max-instances, and look at the service's log: no instance could be started in time.",
  502: "Look at the service's log: the container's reply was cut, or was none.",
  503: "Look at the service's log: the container does not answer, or crashed; with --use-http2 the port must be named h2c.",
  504: "Raise the request time limit: gcloud run services update SERVICE --timeout 3600.",
};

function byGoogle({ status }: Answer): Refusal | undefined {
  const change = BY_GOOGLE[status];
  if (change === undefined) return undefined;
  const by = "Google's front end";
  return { by, saw: `${status} from ${by}, the edge was not reached`, change };
}

const BY_PROXY: Readonly<Record<number, string>> = {
  407: "Connect without the proxy in between, or log in to it.",
  413: "Raise the limit on the size of requests in what stands in front of the edge.",
  502: "Check that what stands in front of the edge sends it HTTP/1.1 or h2c without TLS, and look at its log.",
  503: "Check that the edge runs, and that what stands in front of it has its address.",
  504: "Raise the time limit in what stands in front of the edge, or look why nothing answered within it.",
};

function byProxy({ status }: Answer): Refusal | undefined {
  const change = BY_PROXY[status];
  if (change === undefined) return undefined;
  const by = "a proxy in front";
  return { by, saw: `${status}, and not in the edge's words: ${by} answered`, change };
}
