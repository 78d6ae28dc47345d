/**
 * The states seen so far, each as a hash of 53 bits and the way it was reached.
 *
 * Two different states share a hash with a chance of about n² / 2⁵⁴: below one in a thousand for three million states.
 * Such a clash would leave a state out; it never makes a violation up, since every story is told by stepping again.
 */
const EMPTY = 0;
const INITIAL_SLOTS = 1 << 16;
const GREATEST_LOAD = 0.6;

export class StateSet {
  private slots = new Float64Array(INITIAL_SLOTS);
  private parents = new Int32Array(INITIAL_SLOTS);
  private ordinals = new Uint16Array(INITIAL_SLOTS);
  private count = 0;

  get size(): number {
    return this.count;
  }

  has(hash: number): boolean {
    return this.slots[this.slotOf(hash)] !== EMPTY;
  }

  /** @returns the number of the new state; -1 when it was there already */
  add(hash: number, parent: number, ordinal: number): number {
    const slot = this.slotOf(hash);
    if (this.slots[slot] !== EMPTY) return -1;
    const index = this.count++;
    this.slots[slot] = hash;
    if (index >= this.parents.length) this.growPaths();
    this.parents[index] = parent;
    this.ordinals[index] = ordinal;
    if (this.count > this.slots.length * GREATEST_LOAD) this.growSlots();
    return index;
  }

  /** The ordinals of the steps that lead to the state with this number, from the initial state on. */
  pathTo(index: number): number[] {
    const path: number[] = [];
    for (let at = index; (this.parents[at] ?? -1) >= 0; at = this.parents[at] ?? -1) path.push(this.ordinals[at] ?? 0);
    return path.reverse();
  }

  private slotOf(hash: number): number {
    const mask = this.slots.length - 1;
    let slot = (hash % 0x1_0000_0000) & mask;
    while (this.slots[slot] !== EMPTY && this.slots[slot] !== hash) slot = (slot + 1) & mask;
    return slot;
  }

  private growPaths(): void {
    const parents = new Int32Array(this.parents.length * 2);
    parents.set(this.parents);
    this.parents = parents;
    const ordinals = new Uint16Array(this.ordinals.length * 2);
    ordinals.set(this.ordinals);
    this.ordinals = ordinals;
  }

  private growSlots(): void {
    const { slots } = this;
    this.slots = new Float64Array(slots.length * 2);
    for (const hash of slots) if (hash !== EMPTY) this.slots[this.slotOf(hash)] = hash;
  }
}

/** A hash of 53 bits, never 0: two multiplicative hashes side by side (after cyrb53). */
export function hashOf(words: Uint16Array, length: number): number {
  let low = 0xdeadbeef;
  let high = 0x41c6ce57;
  for (let at = 0; at < length; at++) {
    const word = words[at] ?? 0;
    low = Math.imul(low ^ word, 2654435761);
    high = Math.imul(high ^ word, 1597334677);
  }
  low = Math.imul(low ^ (low >>> 16), 2246822507) ^ Math.imul(high ^ (high >>> 13), 3266489909);
  high = Math.imul(high ^ (high >>> 16), 2246822507) ^ Math.imul(low ^ (low >>> 13), 3266489909);
  return (high & 0x1f_ffff) * 0x1_0000_0000 + (low >>> 0) || 1;
}
