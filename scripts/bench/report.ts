/** How to read the tables, and how they were made. */
export function preamble(how: {
  /** A list of what they were made on. */
  readonly machine: string;
  readonly backends: string;
  readonly seconds: number;
  readonly rounds: number;
  readonly warmUp: number;
}): string {
  return `Written by \`npm run bench -- --markdown docs/benchmarks.md\`. Absolute numbers hold for one machine on one day; what counts is
how the contenders compare, which is why they run side by side.

${how.machine}
- ${how.backends}
- each contender ran ${how.rounds} × ${how.seconds} s in each row, after a warm-up of ${how.warmUp} s

**Columns.** *CPU µs* is what the proxy costs: user and system time of all its processes and threads during a run, divided by the
requests of that run; *range* is its least and greatest value over the rounds. *÷ best peer* compares it to the cheapest of the
peers (1.00 is as cheap, less is cheaper). *p50* and *p99* are latencies as the client sees them, and *peak RSS* is the most
memory the processes had resident. *direct* has no proxy: it shows what the backends and the load generator can do.
A request of a gRPC row is a call: where it has many messages, the row says how many, and CPU µs are for all of them.

**Method.** All contenders stand in front of the same backends, on loopback, with one process or thread
for the data path and without logs. The peers are told no more than to forward, and get a port for each protocol where that is less
work for them; oneport tells the protocols apart on one port and rewrites the forwarding headers. *oneport-auth* verifies
an ID token on every request, a header of about 700 bytes; *oneport-token* gets and forwards the same header but verifies nothing, so
the difference of the two is the price of verification. These two take part where requests are small enough for it to show.
For each row all contenders are started anew and warmed up with a run that does not count. Then every contender runs once in each round, in changing order, never two at a time; a cell is the median
over the rounds. HTTP and gRPC load comes from h2load, WebSocket load from generators of our own. Connections are opened within
the run. A run in which a request failed, in which bytes of the replies are missing, or in which replies stop half-way, on all connections
or on one, gives an error, not a number.
h2load posts all messages of a bidirectional call at once, in frames of up to 16 KiB, and does not wait for echoes.

**Backends.** Workers, proxy and load generator share the machine. With \`--backends workers\` a worker is busier than any proxy in front of
it, so requests per second say more about the worker, and a proxy that waits for it reads much at a time, which makes it look cheap.
With \`--backends fast\` the backends answer for next to nothing (nghttpd, nginx, and a frame server of our own that sends each gRPC message in a DATA frame
of its own), so it is the proxy that is busy, and peaks are the proxy's.

**Latency rows.** After its warm-up each contender shows its peak; then all get the same load, half of the lowest of these peaks (*direct*
included), first for another warm-up, then for runs that are three times as long. The same rate for all is what makes latencies comparable, and a contender that cannot keep it gets an error. h2load
sends what is due in bursts, every 10 ms on each connection, so a part of each latency is the queue within the burst, for all alike.

**Idle WebSockets.** *KiB each* is what all processes of a contender have resident 5 s after the last handshake, minus what they had before
the first, divided by the WebSockets. At the end each must still bring a message there and back. Once for each contender, whatever the
rounds, with a backend that does nothing by itself.

**Not here.** nginx and Caddy before 2.10 have no WebSocket over HTTP/2. Envoy is in neither Debian nor npm (the npm package of
that name is something else), so it is not among the peers.
`;
}
