import { call, decodeMessage, encodeMessage } from "./grpc-web.js";
import { authorization } from "./panel.js";

/** Calls Echo.Ping and Echo.Count (proto/echo.proto) by gRPC-Web. */
export function startGrpc(panel) {
  const options = (signal) => ({
    // The worker says who it is to whoever asks.
    headers: { ...authorization(), "grpc-timeout": "60S", "x-who": "1" },
    signal,
    onHead: (headers) => panel.carried({ via: headers.get("x-via"), worker: headers.get("x-worker") }),
  });
  const ping = async () => {
    const started = performance.now();
    try {
      for await (const reply of call("/Echo/Ping", encodeMessage({ 1: "ping" }), options())) {
        panel.succeeded(new TextDecoder().decode(decodeMessage(reply)[1]), performance.now() - started);
      }
    } catch (error) {
      panel.failed(error.message);
    }
  };
  panel.onSubmit(ping);
  panel.onRepeat(ping);
  startStream(panel, options);
}

function startStream(panel, options) {
  let running;
  const start = async () => {
    running = new AbortController();
    panel.setPressed("stream", true);
    const request = encodeMessage({ 1: Number(panel.value("count")), 2: Number(panel.value("interval")) });
    let last = 0;
    try {
      for await (const reply of call("/Echo/Count", request, options(running.signal))) {
        last = decodeMessage(reply)[1];
        panel.note(`message ${last}`);
      }
      panel.note(`stream: all ${last} messages`);
    } catch (error) {
      if (running.signal.aborted) panel.note(`stream: stopped after ${last} messages`);
      else panel.failed(`stream: ${error.message}, after ${last} messages`);
    } finally {
      panel.setPressed("stream", false);
    }
  };
  panel.onToggle("stream", start, () => running.abort());
}
