/** A number in [0, 1) from a fixed sequence: the same seed gives the same walks on every machine (xorshift32). */
export function seededRandom(seed: number): () => number {
  let state = (seed + 1) * 0x9e3779b1 || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}
