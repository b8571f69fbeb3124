const AGAIN_MS = 1000;

/** Messages to the WebSocket worker, one at a time, and their answers. While it repeats, a lost connection is made again. */
export function startWebSocket(panel) {
  let socket;
  // Answers come in the order of the messages.
  const waiting = [];
  let wanted = false;
  let repeating = false;

  const connect = () => {
    wanted = true;
    panel.setPressed("connect", true);
    const url = new URL("/ws", location.href);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    socket = new WebSocket(url, subprotocols());
    socket.addEventListener("open", () => {
      enable(true);
      panel.note("connected");
    });
    socket.addEventListener("message", ({ data }) => waiting.shift()?.(JSON.parse(data)));
    socket.addEventListener("close", ({ code, reason }) => {
      enable(false);
      for (const resolve of waiting.splice(0)) resolve(undefined);
      const why = `closed with ${code}${reason === "" ? "" : `: ${reason}`}`;
      if (!wanted) return panel.note(why);
      panel.failed(why);
      if (repeating) setTimeout(() => wanted && connect(), AGAIN_MS);
      else disconnected();
    });
  };
  const disconnected = () => {
    wanted = false;
    repeating = false;
    panel.stopRepeating();
    panel.setPressed("connect", false);
    enable(false);
  };
  const enable = (open) => {
    panel.button("send").disabled = !open;
    panel.button("repeat").disabled = !open && !repeating;
  };
  const send = async () => {
    if (socket?.readyState !== WebSocket.OPEN) return;
    const started = performance.now();
    socket.send(JSON.stringify({ message: panel.value("text"), who: true }));
    const answer = await new Promise((resolve) => waiting.push(resolve));
    if (answer === undefined) return;
    panel.carried({
      hop: socket.protocol === "" ? "WebSocket" : `WebSocket, ${socket.protocol}`,
      ...answer.who,
    });
    panel.succeeded(`${answer.message}: ${answer.request.message}`, performance.now() - started);
  };
  panel.onToggle("connect", connect, () => {
    disconnected();
    socket.close(1000);
  });
  panel.onSubmit(send);
  panel.onRepeat(send);
  panel.button("repeat").addEventListener("click", () => {
    repeating = panel.button("repeat").getAttribute("aria-pressed") === "true";
  });
}

/** Scripts cannot give a handshake a header: the token is offered as a subprotocol, which the edge takes away. */
function subprotocols() {
  const token = document.getElementById("token").value.trim();
  if (token === "") return [];
  const encoded = btoa(token).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
  return [`base64url.bearer.authorization.console.${encoded}`, "json"];
}
