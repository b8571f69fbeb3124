import { ENTRY_OVERHEAD } from "./static-table.ts";

/** RFC 7541, section 2.3.2: first in, first out; the newest entry has index 0. */
export class DynamicTable {
  /** Grows by one with each entry put in, whatever is evicted: entries can be named by it for as long as they live. */
  inserted = 0;
  /** Grows with each change. */
  version = 0;
  size = 0;
  maxSize: number;

  /** Oldest first; the evicted ones before `#first` are given back from time to time. */
  readonly #names: string[] = [];
  readonly #values: string[] = [];
  #first = 0;
  readonly #evicted: (name: string, value: string, id: number) => void;

  /** `evicted` hears of each entry that goes, with the value `inserted` had when it came. */
  constructor(maxSize: number, evicted: (name: string, value: string, id: number) => void = () => {}) {
    this.maxSize = maxSize;
    this.#evicted = evicted;
  }

  get length(): number {
    return this.#names.length - this.#first;
  }

  name(index: number): string | undefined {
    return index < 0 || index >= this.length ? undefined : this.#names[this.#names.length - 1 - index];
  }

  value(index: number): string {
    return this.#values[this.#values.length - 1 - index] ?? "";
  }

  /** RFC 7541, section 4.4: an entry larger than the table empties it, and is no error. */
  add(name: string, value: string): void {
    const bytes = name.length + value.length + ENTRY_OVERHEAD;
    this.version++;
    this.#evictTo(this.maxSize - bytes);
    if (bytes > this.maxSize) return;
    this.#names.push(name);
    this.#values.push(value);
    this.size += bytes;
    this.inserted++;
  }

  resize(maxSize: number): void {
    this.version++;
    this.maxSize = maxSize;
    this.#evictTo(maxSize);
  }

  #evictTo(size: number): void {
    while (this.size > Math.max(0, size) && this.#first < this.#names.length) {
      const name = this.#names[this.#first] ?? "";
      const value = this.#values[this.#first] ?? "";
      this.size -= name.length + value.length + ENTRY_OVERHEAD;
      this.#evicted(name, value, this.inserted - this.length + 1);
      this.#first++;
    }
    if (this.#first < 64 || this.#first * 2 < this.#names.length) return;
    this.#names.splice(0, this.#first);
    this.#values.splice(0, this.#first);
    this.#first = 0;
  }
}
