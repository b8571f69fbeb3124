import type { Socket } from "node:net";
import type { ToParent } from "./messages.ts";

/** Tells the parent which connections were taken and how many have closed: one message per turn of the event loop. */
export class Connections {
  readonly #say: (message: ToParent) => void;
  #taken: number[] = [];
  #closed = 0;
  #due = false;

  constructor(say: (message: ToParent) => void) {
    this.#say = say;
  }

  /** `socket` is undefined when the client had gone before it could be passed on. */
  take(id: number, socket: Socket | undefined): void {
    this.#taken.push(id);
    // It leaves before this turn's end, so before a byte is read: what the parent did not hear of is untouched.
    this.#tell();
    if (socket === undefined) this.#closed++;
    else
      socket.once("close", () => {
        this.#closed++;
        this.#tell();
      });
  }

  #tell(): void {
    if (this.#due) return;
    this.#due = true;
    setImmediate(() => {
      this.#say({ kind: "connections", taken: this.#taken, closed: this.#closed });
      this.#taken = [];
      this.#closed = 0;
      this.#due = false;
    });
  }
}
