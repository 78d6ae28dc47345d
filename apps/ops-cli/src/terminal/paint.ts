import { isRedrawable, type Screen, type Terminal } from './terminal.js';

const CODES = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33 } as const;

/** Text in a colour, or as it is where there is none. A colour never carries a meaning that the words do not. */
export type Paint = Readonly<Record<keyof typeof CODES, (text: string) => string>>;

/** For files, pipes and `NO_COLOR`. */
export const PLAIN: Paint = paintOf(() => (text) => text);

const COLOURED: Paint = paintOf((code) => (text) => `\u001b[${code}m${text}\u001b[0m`);

/** @see no-color.org: set and not empty means no colour */
export function paintFor(screen: Screen, env: Terminal['env']): Paint {
  const isUnwanted = (env['NO_COLOR'] ?? '') !== '';
  return isRedrawable(screen, env) && !isUnwanted ? COLOURED : PLAIN;
}

function paintOf(colour: (code: number) => (text: string) => string): Paint {
  return {
    bold: colour(CODES.bold),
    dim: colour(CODES.dim),
    red: colour(CODES.red),
    green: colour(CODES.green),
    yellow: colour(CODES.yellow),
  };
}
