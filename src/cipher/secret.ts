/** Bytes that must not be seen: however printed, logged or serialised, they read `***`. */
export class Secret {
  #bytes: Uint8Array;

  /** Takes the bytes over: the caller keeps no other reference. */
  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  /** The bytes themselves, for a cipher; not to be kept. */
  reveal(): Uint8Array {
    return this.#bytes;
  }

  wipe(): void {
    this.#bytes.fill(0);
    this.#bytes = new Uint8Array(0);
  }

  toString(): string {
    return '***';
  }

  toJSON(): string {
    return '***';
  }

  /** What console.log of Node and Deno asks for; a registered symbol, so that nothing of theirs need be imported. */
  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return '***';
  }
}
