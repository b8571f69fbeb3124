import { authorization } from "./panel.js";

/** Sends the body to the HTTP worker's echo, which says how it came and who answers. */
export function startHttp(panel) {
  const send = async () => {
    const started = performance.now();
    try {
      const reply = await fetch("/echo", {
        method: "POST",
        headers: { ...authorization(), "content-type": "text/plain" },
        body: panel.value("text"),
      });
      const body = await reply.json();
      const ms = performance.now() - started;
      if (!reply.ok) return panel.failed(`${reply.status} ${body.message ?? body.error ?? ""}`);
      const via = body.rawHeaders[body.rawHeaders.indexOf("via") + 1];
      panel.carried({ via, worker: body.worker });
      panel.succeeded(`${reply.status}: ${body.body}`, ms);
    } catch (error) {
      panel.failed(`no answer: ${error.message}`);
    }
  };
  panel.onSubmit(send);
  panel.onRepeat(send);
  startEvents(panel);
}

/** Server-sent events by fetch, since EventSource sends no token. */
function startEvents(panel) {
  let running;
  const start = async () => {
    running = new AbortController();
    panel.setPressed("events", true);
    try {
      const reply = await fetch("/events?count=10&interval_ms=300", {
        headers: authorization(),
        signal: running.signal,
      });
      if (!reply.ok) return panel.failed(`${reply.status} for the events`);
      const reader = reply.body.pipeThrough(new TextDecoderStream()).getReader();
      for (;;) {
        const { done, value } = await reader.read();
        if (done) break;
        for (const [, id] of value.matchAll(/^id: (\d+)$/gm)) panel.note(`event ${id}`);
      }
      panel.note("events: all there");
    } catch (error) {
      if (running.signal.aborted) panel.note("events: stopped");
      else panel.failed(`events: cut off (${error.message})`);
    } finally {
      panel.setPressed("events", false);
    }
  };
  panel.onToggle("events", start, () => running.abort());
}
