import { type MoveView } from '@borough/contracts';
import { type FastifyReply } from 'fastify';
import { type Moves } from '../moves/moves.js';

/** Where the move is carried out by another coordinator, its stored record is looked at so often, in ms. */
const LOOK_EVERY_MS = 300;
/** A comment line after so long without news, so that nothing between takes the connection for dead, in ms. */
const HEARTBEAT_MS = 15_000;

/**
 * A move's progress as server-sent events (contracts, MOVE_EVENTS_PATH): the whole record whenever it changed, then
 * `ended` with the last one. A follower whose coordinator dies asks another one; versions only grow.
 *
 * @throws Problem `move-not-found`, `no-majority`, before anything was sent
 */
export async function streamMove(moves: Moves, moveId: string, reply: FastifyReply): Promise<void> {
  let known = await moves.find(moveId);
  let unsubscribe: (() => void) | undefined;
  let isOver = false;
  reply.hijack();
  const { raw } = reply;
  raw.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store', 'x-accel-buffering': 'no' });

  const send = (view: MoveView): void => {
    if (isOver) return;
    known = view;
    const event = view.state === 'ended' ? 'ended' : 'progress';
    raw.write(`id: ${view.version}\nevent: ${event}\ndata: ${JSON.stringify(view)}\n\n`);
    if (view.state === 'ended') end();
  };
  const look = (): void => {
    unsubscribe ??= moves.subscribe(moveId, send);
    moves.find(moveId).then(
      (view) => {
        if (view.version > known.version) send(view);
      },
      // The voters are away for a moment: the next look may do better.
      () => undefined,
    );
  };
  const looking = setInterval(look, LOOK_EVERY_MS);
  const heartbeat = setInterval(() => raw.write(': \n\n'), HEARTBEAT_MS);
  function end(): void {
    isOver = true;
    clearInterval(looking);
    clearInterval(heartbeat);
    unsubscribe?.();
    raw.end();
  }
  raw.on('close', end);
  send(known);
  if (known.state === 'running') look();
}
