import assert from "node:assert/strict";
import { test } from "node:test";
import { mayOpen } from "../../edge/origin.ts";
import { GET } from "../support/heads.ts";

const rows: readonly (readonly [
  why: string,
  origins: readonly string[],
  allowed: readonly string[],
  may: boolean,
  authority?: string,
])[] = [
  ["any page where every page may", ["https://evil.example"], ["*"], true],
  ["a sandboxed page where every page may", ["null"], ["*"], true],
  ["no browser", [], ["https://a.example.com"], true],
  ["the origin that is named", ["https://a.example.com"], ["https://a.example.com"], true],
  ["in other letters", ["HTTPS://A.example.com"], ["https://a.example.com"], true],
  ["with the port of its scheme", ["https://a.example.com:443"], ["https://a.example.com"], true],
  ["the second one that is named", ["https://b.example.com"], ["same", "https://b.example.com"], true],
  ["another scheme", ["http://a.example.com"], ["https://a.example.com"], false],
  ["another port", ["https://a.example.com:8443"], ["https://a.example.com"], false],
  ["another host", ["https://evil.example"], ["https://a.example.com"], false],
  ["a host that begins like it", ["https://a.example.com.evil.example"], ["https://a.example.com"], false],
  ["a host that ends like it", ["https://evila.example.com"], ["https://a.example.com"], false],
  ["a name and an @", ["https://a.example.com@evil.example"], ["https://a.example.com"], false],
  ["a path", ["https://a.example.com/"], ["https://a.example.com"], false],
  ["white space", ["https://a.example.com https://evil.example"], ["https://a.example.com"], false],
  ["a sandboxed page", ["null"], ["same", "https://a.example.com"], false],
  ["an empty origin", [""], ["https://a.example.com"], false],
  ["two origins", ["https://a.example.com", "https://a.example.com"], ["https://a.example.com"], false],
  ["a host below the one that is named", ["https://b.a.example.com"], ["https://a.example.com"], false],
  ["a host below", ["https://a.example.com"], ["https://*.example.com"], true],
  ["a host far below", ["https://a.b.example.com"], ["https://*.example.com"], true],
  ["a host below, on the port that is named", ["http://a.b.dev:3000"], ["http://*.b.dev:3000"], true],
  ["the host that others are below of", ["https://example.com"], ["https://*.example.com"], false],
  ["nothing below", ["https://.example.com"], ["https://*.example.com"], false],
  ["another domain that ends like it", ["https://evilexample.com"], ["https://*.example.com"], false],
  ["a host below by another scheme", ["http://a.example.com"], ["https://*.example.com"], false],
  ["a host below on another port", ["https://a.example.com:1"], ["https://*.example.com"], false],
  ["a host below that says *", ["https://*.example.com"], ["https://a.example.com"], false],
  [
    "a URL that ends like a host below",
    ["https://evil.example/.example.com"],
    ["https://*.example.com"],
    false,
  ],
  ["the host that is asked", ["https://a.example.com"], ["same"], true, "a.example.com"],
  ["the host that is asked, by http", ["http://localhost:8080"], ["same"], true, "localhost:8080"],
  ["the host that is asked, with its port", ["https://a.example.com"], ["same"], true, "A.example.com:443"],
  ["an IPv6 host that is asked", ["http://[::1]:8080"], ["same"], true, "[::1]:8080"],
  ["the host that is asked on another port", ["http://localhost:3000"], ["same"], false, "localhost:8080"],
  ["another host than is asked", ["https://evil.example"], ["same"], false, "a.example.com"],
  ["a host where none is asked", ["https://evil.example"], ["same"], false, ""],
  ["a host where another one is asked with *", ["https://a.example.com"], ["same"], false, "*.example.com"],
];
for (const [why, origins, allowed, may, authority = "a.example.com"] of rows) {
  test(`${why} ${may ? "may" : "may not"} open a WebSocket where ${allowed.join(" and ")} may`, () => {
    const headers = origins.flatMap((origin) => ["origin", origin]);
    assert.equal(mayOpen({ ...GET, authority, headers }, allowed), may);
  });
}
