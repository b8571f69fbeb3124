import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";

/**
 * Keeps the list of process groups it is told of. When its input ends without a word (the supervisor was killed, and
 * could not clean up), it ends them: politely, and after a second for good.
 */
const SCRIPT = `
groups=
while read -r word group; do
  case $word in
    watch) groups="$groups $group" ;;
    forget) left=; for g in $groups; do [ "$g" = "$group" ] || left="$left $g"; done; groups=$left ;;
  esac
done
for g in $groups; do kill -s TERM -- "-$g" 2>/dev/null; done
[ -z "$groups" ] || sleep 1
for g in $groups; do kill -s KILL -- "-$g" 2>/dev/null; done
exit 0
`;

/** Sees to it that no process outlives the supervisor, even one that was killed with SIGKILL. */
export class Reaper {
  readonly #child: ChildProcess;
  readonly #gone: Promise<void>;

  constructor() {
    this.#child = spawn("/bin/sh", ["-c", SCRIPT], { stdio: ["pipe", "ignore", "ignore"], detached: true });
    // An image without a shell goes without; in a container the end of the supervisor is the end of all anyway.
    this.#gone = new Promise((resolve) => {
      this.#child.once("error", () => resolve());
      this.#child.once("close", () => resolve());
    });
    this.#child.stdin?.on("error", () => {});
    this.#child.unref();
  }

  watch(group: number): void {
    this.#child.stdin?.write(`watch ${group}\n`);
  }

  forget(group: number): void {
    this.#child.stdin?.write(`forget ${group}\n`);
  }

  /** Resolves once the helper itself is gone. */
  async close(): Promise<void> {
    this.#child.ref();
    this.#child.stdin?.end();
    await this.#gone;
  }
}
