import { Plot } from "./plot.js";

const REPEAT_MS = 250;
const LINES = 100;

/** What the three panels have in common: buttons, a result, a plot, how it was carried, and a log. */
export class Panel {
  #section;
  #result;
  #plot;
  #log;
  #timer;

  constructor(id) {
    this.#section = document.getElementById(id);
    this.#section.append(document.getElementById("readings").content.cloneNode(true));
    this.#result = this.#section.querySelector(".result");
    this.#log = this.#section.querySelector(".log");
    this.#plot = new Plot(this.#section.querySelector("figure"));
  }

  button(name) {
    return this.#section.querySelector(`[data-do="${name}"]`);
  }

  value(name) {
    return this.#section.querySelector(`[name="${name}"]`).value;
  }

  /** Enter in a field does what the panel's main button does. */
  onSubmit(act) {
    this.#section.querySelector("form").addEventListener("submit", (event) => {
      event.preventDefault();
      act();
    });
  }

  /** A button that is on or off. */
  onToggle(name, on, off) {
    const button = this.button(name);
    button.addEventListener("click", () => (isOn(button) ? off() : on()));
  }

  setPressed(name, pressed) {
    this.button(name).setAttribute("aria-pressed", String(pressed));
  }

  /** Does it again and again while the button is on, one at a time. */
  onRepeat(act) {
    const next = async () => {
      await act();
      if (isOn(this.button("repeat"))) this.#timer = setTimeout(next, REPEAT_MS);
    };
    const start = () => {
      this.setPressed("repeat", true);
      void next();
    };
    this.onToggle("repeat", start, () => this.stopRepeating());
  }

  stopRepeating() {
    clearTimeout(this.#timer);
    this.setPressed("repeat", false);
  }

  succeeded(text, ms) {
    this.#show(text, false);
    if (ms !== undefined) this.#plot.add(ms);
  }

  failed(text) {
    this.#show(text, true);
    this.#plot.add(null);
  }

  /** Something that happened, and is neither a reply nor a failure. */
  note(text) {
    this.#show(text, false);
  }

  /** `hop` is what the browser knows, `via` the field that the edge wrote, `worker` what the worker says of itself. */
  carried({ hop, via, worker }) {
    // The last entry is the edge's: "1.1 proxy-in-front, 2.0 oneport".
    const received = via?.split(",").at(-1)?.trim().split(" ")[0];
    const known = { hop, via: received && `HTTP/${received}`, worker };
    for (const [name, value] of Object.entries(known)) {
      if (value) this.#section.querySelector(`[data-is="${name}"]`).textContent = value;
    }
  }

  #show(text, failed) {
    // What comes by itself would never let a screen reader finish a sentence.
    this.#result.setAttribute("aria-live", isOn(this.button("repeat")) ? "off" : "polite");
    this.#result.textContent = text;
    this.#result.classList.toggle("failed", failed);
    const line = document.createElement("li");
    line.textContent = `${new Date().toISOString().slice(11, 23)} ${text}`;
    line.classList.toggle("failed", failed);
    this.#log.prepend(line);
    while (this.#log.childElementCount > LINES) this.#log.lastElementChild.remove();
  }
}

function isOn(button) {
  return button.getAttribute("aria-pressed") === "true";
}

/** Tells the panel by which protocol the browser got what it asked for at a path, as soon as the browser says. */
export function watchHops(paths) {
  new PerformanceObserver((list) => {
    for (const { name, nextHopProtocol } of list.getEntries()) {
      paths.get(new URL(name).pathname)?.carried({ hop: nextHopProtocol });
    }
  }).observe({ type: "resource", buffered: true });
}

/** The token as a field; none without a token. */
export function authorization() {
  const token = document.getElementById("token").value.trim();
  return token === "" ? {} : { authorization: `Bearer ${token}` };
}
