import { type Screen } from './terminal.js';

/** Lines too long for the terminal are cut by it instead of wrapped, or the next redraw would start too low. */
const WRAP_OFF = '\u001b[?7l';
const WRAP_ON = '\u001b[?7h';
const DEFAULT_ROWS = 24;

/** A few lines at the bottom of a terminal that are drawn again in place. */
export class LiveBlock {
  #drawn = 0;

  constructor(private readonly screen: Screen) {}

  /** How many lines may be shown: more would scroll away and could not be written over. */
  get maxLines(): number {
    const { rows = 0 } = this.screen;
    // A terminal that was never told its size says 0.
    return Math.max(3, (rows > 0 ? rows : DEFAULT_ROWS) - 1);
  }

  show(lines: readonly string[]): void {
    const shown = lines.slice(0, this.maxLines);
    this.screen.write(`${this.#erase()}${WRAP_OFF}${shown.map((line) => `${line}\n`).join('')}${WRAP_ON}`);
    this.#drawn = shown.length;
  }

  /** Takes the block away, so that lines meant to stay can follow. */
  clear(): void {
    this.screen.write(this.#erase());
    this.#drawn = 0;
  }

  #erase(): string {
    return this.#drawn === 0 ? '' : `\r\u001b[${this.#drawn}A\u001b[0J`;
  }
}
