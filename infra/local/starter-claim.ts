import { linkSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { z } from 'zod';
import { type Layout } from './layout.js';
import { birthOf, stillRuns } from './os-process.js';
import { readJson } from './private-file.js';
import { StarterError } from './starter-error.js';

const starterSchema = z.object({
  pid: z.number().int().positive(),
  birth: z.string(),
  routerUrl: z.string(),
});

/** The process that owns a cluster's directory, and where its router is or will be. */
export type Starter = z.infer<typeof starterSchema>;

/** The starter that owns the directory now, or undefined when none does or the one that did is dead. */
export function liveStarter(layout: Layout): Starter | undefined {
  const found = starterSchema.safeParse(readJson(layout.starterFile));
  return found.success && stillRuns(found.data) ? found.data : undefined;
}

/**
 * Makes this process the owner of the directory. Of several that try at once, one wins.
 *
 * @returns how to give it up again
 * @throws StarterError when a live starter owns it
 */
export function claimDirectory(layout: Layout, routerUrl: string): () => void {
  const own: Starter = { pid: process.pid, birth: birthOf(process.pid) ?? '', routerUrl };
  const draft = `${layout.starterFile}.${process.pid}.draft`;
  writeFileSync(draft, JSON.stringify(own), { mode: 0o600 });
  try {
    for (let attempt = 0; attempt < 10; attempt += 1) {
      if (linked(draft, layout.starterFile)) {
        return () => {
          rmSync(layout.starterFile, { force: true });
        };
      }
      const other = liveStarter(layout);
      if (other !== undefined) throw ownedError(layout, other);
      removeStale(layout);
    }
  } finally {
    rmSync(draft, { force: true });
  }
  throw new StarterError(`Several programs are trying to start a cluster in ${layout.directory} at once. Start one.`);
}

/** @throws StarterError when a live starter owns the directory */
export function refuseLiveStarter(layout: Layout): void {
  const other = liveStarter(layout);
  if (other !== undefined) throw ownedError(layout, other);
}

function ownedError(layout: Layout, other: Starter): StarterError {
  return new StarterError(
    `A cluster already runs from ${layout.directory}: its starter is process ${other.pid}, its router ${other.routerUrl}.\n` +
      `Use it, or stop it first with Ctrl-C in its terminal or:  kill ${other.pid}`,
  );
}

/** Unlike a rename, a link fails when the name is taken, so it has one winner; and it never shows a half-written file. */
function linked(draft: string, file: string): boolean {
  try {
    linkSync(draft, file);
    return true;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return false;
    throw error;
  }
}

/** Moves a dead starter's file away. Should a live one's have taken its place meanwhile, that is put back. */
function removeStale(layout: Layout): void {
  const aside = `${layout.starterFile}.${process.pid}.stale`;
  try {
    renameSync(layout.starterFile, aside);
  } catch {
    return; // somebody else was quicker
  }
  const moved = starterSchema.safeParse(readJson(aside));
  if (moved.success && stillRuns(moved.data)) linked(aside, layout.starterFile);
  rmSync(aside, { force: true });
}
