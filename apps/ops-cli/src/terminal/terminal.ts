/** The outside of the program, given from outside so that a spec can be the person at the keyboard. */
export interface Terminal {
  readonly stdin: NodeJS.ReadableStream & { readonly isTTY?: boolean };
  readonly stdout: Screen;
  readonly stderr: Screen;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Ctrl-C, or being told to end; a second Ctrl-C ends the program at once. */
  readonly interruption: Interruption;
}

export type Screen = NodeJS.WritableStream & {
  readonly isTTY?: boolean;
  readonly rows?: number;
};

export interface Interruption {
  readonly signal: AbortSignal;
  /** For whoever has the keyboard in its own hands, such as a prompt. */
  readonly interrupt: () => void;
}

/** Whether lines written there can be written over. */
export function isRedrawable(screen: Screen, env: Terminal['env']): boolean {
  return screen.isTTY === true && env['TERM'] !== 'dumb';
}
