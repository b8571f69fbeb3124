/** Values that are remembered at a time. */
const SIZE = 16;

/**
 * Remembers what a function made of the objects it was last given, told by identity, and of strings. Decoders hand out the
 * same list for the same header block, so a worker's replies are a few lists again and again.
 */
export class Recall<K, V> {
  readonly #make: (key: K) => V;
  readonly #keys: K[] = [];
  readonly #values: V[] = [];
  #next = 0;

  constructor(make: (key: K) => V) {
    this.#make = make;
  }

  of(key: K): V {
    const known = this.#values[this.#keys.indexOf(key)];
    return known === undefined ? this.#add(key) : known;
  }

  #add(key: K): V {
    const value = this.#make(key);
    this.#keys[this.#next] = key;
    this.#values[this.#next] = value;
    this.#next = (this.#next + 1) % SIZE;
    return value;
  }
}
