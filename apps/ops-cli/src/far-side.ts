/**
 * The far side of the command line, for its specs: coordinators that speak the contracts over real HTTP and share one
 * truth, as coordinators do through the voters. One leads; any can be killed. A move goes on only when the spec says so,
 * or step by step by itself with `isSelfMoving`.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { type AddressInfo } from 'node:net';
import {
  abortMoveRequest,
  areaMapView,
  auditList,
  auditPage,
  auditView,
  createAuditRequest,
  createMoveRequest,
  heldOrdersView,
  movePage,
  movePlan,
  moveView,
  PROBLEM_MEDIA_TYPE,
  PROBLEM_TYPE_PREFIX,
  PROBLEMS,
  receiptPage,
  releasedOrder,
  releaseOrderRequest,
  routingSnapshot,
  shardsView,
  wholeReceipt,
  zonesView,
  type AuditPage,
  type AuditView,
  type HeldOrder,
  type MovePlan,
  type MoveShard,
  type MoveTarget,
  type MoveView,
  type ProblemCode,
  type WholeReceipt,
  type ZonesView,
} from '@borough/contracts';
import { z } from 'zod';

const STEP_MS = 15;
const ZONES = ['a', 'b', 'c'];
/** Resolution 5, around Bremen and around Cape Town. */
const AREAS = [
  { shard: 0, name: 'North', cells: ['851f1553fffffff'] },
  { shard: 1, name: 'Centre', cells: ['851f155bfffffff'] },
  { shard: 2, name: 'South', cells: ['851f1097fffffff'] },
];

export interface Received {
  readonly coordinator: number;
  readonly method: string;
  readonly path: string;
  readonly key: string | undefined;
  readonly body: unknown;
}

class Refusal extends Error {
  constructor(
    readonly code: ProblemCode,
    readonly members: Record<string, unknown> = {},
  ) {
    super(code);
  }
}

export class FarSide {
  /** Base URLs of all coordinators, the dead ones included. */
  readonly urls: string[] = [];
  readonly received: Received[] = [];
  /** Number of the coordinator that leads; -1 for none. */
  leader = 0;
  isSelfMoving = false;
  /** Connections are broken without an answer. */
  isSilent = false;
  /** The plan's check that does not pass, with what it says. */
  failingCheck: { check: string; detail: string } | undefined;
  /** How many begun moves are begun without an answer: the connection breaks. */
  answersToLose = 0;
  /** Whether asking about a shard that moves is refused, or answered with a plan that this blocks. */
  planOfMovingShard: 'refused' | 'blocked' = 'refused';
  /** What the zones look like beside the plain truth. */
  zones: Partial<ZonesView> = {};
  heldOrders: readonly HeldOrder[] = [];
  receipts: readonly WholeReceipt[] = [];
  /** As they end, the newest first; one that is begun comes to the first. */
  audits: AuditView[] = [];
  /** How many answers still show them running. */
  looksUntilAuditsEnd = 0;
  /** After that, how many answers lack their first zone. */
  looksWithLateZone = 0;
  /** Zones that do not answer the coordinators. */
  unanswered: string[] = [];

  readonly #owners = new Map(AREAS.map(({ shard }, index) => [shard, ZONES[index % 2] ?? '']));
  readonly #epochs = new Map(AREAS.map(({ shard }) => [shard, 1]));
  readonly #moves = new Map<string, MoveView>();
  readonly #moveByKey = new Map<string, string>();
  readonly #audit: AuditPage['entries'] = [];
  readonly #listeners = new Set<(move: MoveView) => void>();
  readonly #servers: Server[] = [];
  readonly #timers = new Set<NodeJS.Timeout>();

  static async start(coordinators: number): Promise<FarSide> {
    const farSide = new FarSide();
    for (let number = 0; number < coordinators; number += 1) await farSide.#startCoordinator(number);
    return farSide;
  }

  /** Ends a coordinator and all its connections, as a kill does. */
  kill(number: number): void {
    this.#servers[number]?.close();
    this.#servers[number]?.closeAllConnections();
  }

  async close(): Promise<void> {
    for (const timer of this.#timers) clearInterval(timer);
    await Promise.all(
      this.#servers.map(
        (server) =>
          new Promise<void>((resolve) => {
            server.close(() => {
              resolve();
            });
            server.closeAllConnections();
          }),
      ),
    );
  }

  /** How many connections follow a move now. */
  get watchers(): number {
    return this.#listeners.size;
  }

  get moves(): readonly MoveView[] {
    return [...this.#moves.values()];
  }

  /** Begins a move as if somebody else had asked for it. */
  begin(target: MoveTarget): MoveView {
    return this.#create({ target, why: 'somebody else', requestedBy: 'eve@elsewhere' });
  }

  /** Brings one shard of a running move one state further, or to the given state. @returns whether any was left */
  step(moveId: string, to?: MoveShard['state']): boolean {
    const move = this.#find(moveId);
    const NEXT = { waiting: 'intended', intended: 'fenced', fenced: 'accepted', accepted: 'moved' } as const;
    const shard = move.shards.find(({ state }) => state in NEXT);
    if (shard === undefined || move.state === 'ended') return false;
    const state = to ?? NEXT[shard.state as keyof typeof NEXT];
    const changed = { ...shard, state, ...(state === 'moved' ? { pauseMs: 8 + shard.shard } : {}) };
    if (state === 'moved') {
      this.#owners.set(shard.shard, shard.to);
      this.#epochs.set(shard.shard, shard.epoch + 1);
    }
    this.#store({ ...move, shards: move.shards.map((old) => (old.shard === shard.shard ? changed : old)) });
    return true;
  }

  end(moveId: string, outcome: NonNullable<MoveView['outcome']>, problem?: string): void {
    const move = this.#find(moveId);
    if (move.state === 'ended') return;
    this.#store({
      ...move,
      state: 'ended',
      outcome,
      endedAt: new Date(Date.parse(move.requestedAt) + 1400).toISOString(),
      ...(problem === undefined ? {} : { problem }),
    });
    this.#note('move.ended', move, outcome);
  }

  /** Another coordinator takes a running move over. */
  takeOver(moveId: string, coordinator: string): void {
    const move = this.#find(moveId);
    this.#store({ ...move, coordinators: [...move.coordinators, coordinator] });
  }

  async #startCoordinator(number: number): Promise<void> {
    const server = createServer((request, response) => {
      void this.#answer(number, request, response);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    this.#servers.push(server);
    this.urls.push(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  }

  async #answer(number: number, request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (this.isSilent) {
      response.socket?.destroy();
      return;
    }
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const { method = '', headers } = request;
    const url = new URL(request.url ?? '/', 'http://far-side');
    const text = Buffer.concat(chunks).toString();
    const body: unknown = text === '' ? undefined : JSON.parse(text);
    const key = headers['idempotency-key'];
    const received = { coordinator: number, method, path: url.pathname, key: key?.toString(), body };
    this.received.push(received);
    try {
      this.#route(received, url.searchParams, response);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      const { status, title, retry } = PROBLEMS[error.code];
      const problem = { type: PROBLEM_TYPE_PREFIX + error.code, title, status, code: error.code, retry };
      send(response, status, z.unknown(), { ...problem, ...error.members }, PROBLEM_MEDIA_TYPE);
    }
  }

  #route(received: Received, query: URLSearchParams, response: ServerResponse): void {
    const { method, path, coordinator } = received;
    if (this.#routeHeldOrReceipts(received, query, response)) return;
    const [, moveId = '', verb] = /^\/ops\/v1\/moves\/([^/]+)(?:\/(\w+))?$/.exec(path) ?? [];
    const route = `${method} ${moveId === '' ? path : `move ${verb ?? ''}`.trim()}`;
    switch (route) {
      case 'GET /ops/v1/zones':
        send(response, 200, zonesView, this.#zonesView(coordinator));
        return;
      case 'GET /ops/v1/shards':
        send(response, 200, shardsView, this.#shardsView());
        return;
      case 'GET /v1/routing':
        send(response, 200, routingSnapshot, this.#routing());
        return;
      case 'GET /v1/area-map':
        send(response, 200, areaMapView, { areaMapVersion: AREAS.length, areas: AREAS });
        return;
      case 'GET /ops/v1/audit-log':
        send(response, 200, auditPage, { entries: this.#audit.slice(0, Number(query.get('limit') ?? 50)) });
        return;
      case 'GET /ops/v1/moves':
        send(response, 200, movePage, { moves: [...this.moves].reverse().slice(0, Number(query.get('limit') ?? 20)) });
        return;
      case 'POST /ops/v1/moves':
        this.#requireLeader(coordinator);
        this.#begin(received, response);
        return;
      case 'GET move':
        send(response, 200, moveView, this.#find(moveId));
        return;
      case 'GET move events':
        this.#follow(moveId, response);
        return;
      case 'POST move abort':
        this.#requireLeader(coordinator);
        send(response, 202, moveView, this.#abort(moveId, abortMoveRequest.parse(received.body).requestedBy));
        return;
      default:
        throw new Refusal('route-not-found');
    }
  }

  /** @returns whether it was a path of held orders, of receipts or of audits */
  #routeHeldOrReceipts(
    { method, path, coordinator, body }: Received,
    query: URLSearchParams,
    response: ServerResponse,
  ) {
    const { unanswered } = this;
    const limit = Number(query.get('limit') ?? 50);
    const [, orderId] = /^\/ops\/v1\/held-orders\/([^/]+)\/release$/.exec(path) ?? [];
    const [, zone, id] = /^\/ops\/v1\/receipts\/([^/]+)\/([^/]+)$/.exec(path) ?? [];
    if (method === 'GET' && path === '/ops/v1/held-orders') {
      const orders = this.heldOrders.slice(0, limit);
      send(response, 200, heldOrdersView, { total: this.heldOrders.length, orders, unanswered });
    } else if (method === 'POST' && orderId !== undefined) {
      this.#requireLeader(coordinator);
      releaseOrderRequest.parse(body);
      const held = this.heldOrders.find((order) => order.orderId === orderId);
      if (held === undefined) throw new Refusal('order-not-found');
      if (held.reason !== 'declared-loss') throw new Refusal('order-not-held');
      this.heldOrders = this.heldOrders.filter((order) => order !== held);
      send(response, 200, releasedOrder, { orderId, shard: held.shard, zone: held.zone });
    } else if (method === 'GET' && path === '/ops/v1/receipts') {
      const wanted = this.receipts.filter(
        (one) =>
          one.zone === (query.get('zone') ?? one.zone) &&
          one.table === (query.get('table') ?? one.table) &&
          `${one.shard}` === (query.get('shard') ?? `${one.shard}`),
      );
      const receipts = wanted.slice(0, limit).map(({ zone, id, table, key, shard, epoch, version, ...found }) => {
        const { foundAt, foundBy, replacedBy } = found;
        const isReplaced = replacedBy !== null;
        return { zone, id, table, key, shard, epoch, version, foundAt, foundBy, isReplaced };
      });
      const last = receipts.at(-1);
      const next = wanted.length > limit && last !== undefined ? { next: `${last.zone}/${last.id}` } : {};
      send(response, 200, receiptPage, { receipts, unanswered, ...next });
    } else if (method === 'GET' && zone !== undefined) {
      const found = this.receipts.find((one) => one.zone === zone && `${one.id}` === id);
      if (found === undefined) throw new Refusal('receipt-not-found');
      send(response, 200, wholeReceipt, found);
    } else {
      return this.#routeAudits({ coordinator, method, path, body }, limit, response);
    }
    return true;
  }

  #routeAudits(
    { coordinator, method, path, body }: Omit<Received, 'key'>,
    limit: number,
    response: ServerResponse,
  ): boolean {
    const [isOfAudits, auditId, cancel] = /^\/ops\/v1\/audits(?:\/([^/]+))?(\/cancel)?$/.exec(path) ?? [];
    if (isOfAudits === undefined) return false;
    if (method === 'GET' && auditId === undefined) {
      send(response, 200, auditList, { audits: this.audits.slice(0, limit) });
      return true;
    }
    if (method === 'POST') this.#requireLeader(coordinator);
    if (method === 'POST' && auditId === undefined) createAuditRequest.parse(body);
    if (cancel !== undefined) this.looksUntilAuditsEnd = 0;
    const found = this.audits.find((one) => auditId === undefined || one.auditId === auditId);
    if (found === undefined) throw new Refusal('audit-not-found');
    const zones = found.zones.map(({ zone }) => ({ zone, state: 'running' as const }));
    const isRunning = this.looksUntilAuditsEnd > 0;
    if (isRunning) this.looksUntilAuditsEnd -= 1;
    const isLate = !isRunning && method === 'GET' && this.looksWithLateZone > 0;
    if (isLate) this.looksWithLateZone -= 1;
    const [late, ...inTime] = found.zones;
    const seen =
      isLate && late !== undefined ? { ...found, zones: inTime, unanswered: [late.zone], isEqual: false } : found;
    const shown = isRunning ? { ...found, state: 'running' as const, zones, pairs: [], isEqual: false } : seen;
    send(response, method === 'POST' && auditId === undefined ? 202 : 200, auditView, shown);
    return true;
  }

  #requireLeader(coordinator: number): void {
    if (coordinator !== this.leader) throw new Refusal('not-leader', { detail: `coordinator-${this.leader} leads.` });
  }

  #begin({ key, body }: Received, response: ServerResponse): void {
    const reading = createMoveRequest.safeParse(body);
    if (!reading.success) throw new Refusal('validation-failed', { detail: reading.error.message });
    if (key === undefined) throw new Refusal('idempotency-key-required');
    const { target, dryRun } = reading.data;
    const known = this.#moveByKey.get(key);
    if (known !== undefined) {
      send(response, 200, moveView, this.#find(known));
      return;
    }
    const plan = this.#plan(target);
    if (dryRun) {
      send(response, 200, movePlan, plan);
      return;
    }
    if (plan.isBlocked) throw new Refusal('move-blocked', { checks: plan.checks });
    const move = this.#create(reading.data);
    this.#moveByKey.set(key, move.moveId);
    if (this.answersToLose > 0) {
      this.answersToLose -= 1;
      response.socket?.destroy();
      return;
    }
    send(response, 202, moveView, move);
    if (this.isSelfMoving) this.#moveBySelf(move.moveId);
  }

  #create({ target, why, requestedBy }: { target: MoveTarget; why: string; requestedBy: string }): MoveView {
    const plan = this.#plan(target);
    const number = this.#moves.size;
    const move: MoveView = {
      moveId: `mov_01h455vb4pex5vsknk084sn0${'0123456789'.charAt(number)}q`,
      kind: 'handover',
      target,
      why,
      requestedBy,
      requestedAt: '2026-11-23T14:31:05.000Z',
      state: 'running',
      plan,
      shards: plan.shards.map(({ shard, area, from, to, epoch }) => ({
        shard,
        area: area ?? '',
        from,
        to,
        epoch,
        state: 'waiting',
      })),
      coordinators: [`coordinator-${this.leader}`],
      version: 1,
    };
    this.#moves.set(move.moveId, move);
    this.#note('move.requested', move, `${move.shards.length} shards`);
    return move;
  }

  #moveBySelf(moveId: string): void {
    const timer = setInterval(() => {
      const { abortRequestedBy } = this.#find(moveId);
      if (abortRequestedBy === undefined && this.step(moveId)) return;
      clearInterval(timer);
      this.end(moveId, abortRequestedBy === undefined ? 'moved' : 'aborted');
    }, STEP_MS);
    this.#timers.add(timer);
  }

  #abort(moveId: string, requestedBy: string): MoveView {
    const move = this.#find(moveId);
    if (move.state === 'ended') throw new Refusal('move-ended', { instance: `/ops/v1/moves/${moveId}/abort` });
    return this.#store({ ...move, abortRequestedBy: requestedBy });
  }

  #plan(target: MoveTarget): MovePlan {
    const zone = target.kind === 'shards' ? target.to : target.zone;
    if (!ZONES.includes(zone)) throw new Refusal('zone-not-found', { detail: `There is no zone ${zone}.` });
    const wanted = [...this.#owners].flatMap(([shard, owner]) => {
      const to = heirOf(target, shard, owner);
      return to === undefined || to === owner ? [] : [{ shard, from: owner, to }];
    });
    const running = this.moves.find(
      (move) =>
        move.state === 'running' && move.shards.some((moved) => wanted.some(({ shard }) => shard === moved.shard)),
    );
    if (running !== undefined && this.planOfMovingShard === 'refused') {
      throw new Refusal('shard-in-move', { moveId: running.moveId });
    }
    if (running !== undefined) this.failingCheck = { check: 'shard-is-serving', detail: 'it is moving' };
    if (wanted.length === 0) throw new Refusal('nothing-to-move');
    const { failingCheck } = this;
    return {
      shards: wanted.map((shard) => ({
        ...shard,
        area: AREAS.find((area) => area.shard === shard.shard)?.name ?? '',
        epoch: this.#epochs.get(shard.shard) ?? 1,
        inProcessOrders: 5,
      })),
      steps: ['hold writes at the routers', 'fence the old owner', 'let the heir serve'],
      checks: [
        { check: 'heir-is-ready', isPassed: true, detail: 'it answers' },
        ...(failingCheck === undefined ? [] : [{ ...failingCheck, isPassed: false }]),
      ],
      isBlocked: failingCheck !== undefined,
      expectedPauseMs: 18,
    };
  }

  /** Server-sent events of one move: as it stands, each change, and the last one as `ended`. */
  #follow(moveId: string, response: ServerResponse): void {
    const first = this.#find(moveId);
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    const tell = (move: MoveView) => {
      if (move.moveId !== moveId) return;
      const event = move.state === 'ended' ? 'ended' : 'progress';
      response.write(`event: ${event}\nid: ${move.version}\ndata: ${JSON.stringify(moveView.parse(move))}\n\n`);
      if (move.state === 'ended') response.end();
    };
    this.#listeners.add(tell);
    response.once('close', () => this.#listeners.delete(tell));
    tell(first);
  }

  #store(move: MoveView): MoveView {
    const stored = { ...move, version: move.version + 1 };
    this.#moves.set(move.moveId, stored);
    for (const tell of this.#listeners) tell(stored);
    return stored;
  }

  #find(moveId: string): MoveView {
    const move = this.#moves.get(moveId);
    if (move === undefined) throw new Refusal('move-not-found', { detail: `There is no move ${moveId}.` });
    return move;
  }

  #note(what: string, { moveId, requestedBy, why }: MoveView, detail: string): void {
    this.#audit.unshift({ at: '2026-11-23T14:31:05.000Z', who: requestedBy, what, moveId, why, detail });
  }

  #zonesView(coordinator: number): ZonesView {
    const owned = (zone: string) => [...this.#owners.values()].filter((owner) => owner === zone).length;
    return {
      answeredBy: `coordinator-${coordinator}`,
      ...(this.leader < 0
        ? {}
        : { leader: { coordinator: `coordinator-${this.leader}`, term: 4, isThisOne: coordinator === this.leader } }),
      tableVersion: 15,
      zones: ZONES.map((zone) => ({
        zone,
        isDatabaseReachable: true,
        isApiReady: true,
        ownedShards: owned(zone),
        waitsFor: ZONES.filter((other) => other !== zone),
        isSolo: false,
        problems: [],
      })),
      routers: [{ routerId: 'router-1', tableVersion: 15, reportedMsAgo: 420, heldRequests: 0 }],
      runningMoves: this.moves.flatMap(({ moveId, state }) => (state === 'running' ? [moveId] : [])),
      ...this.zones,
    };
  }

  #shardsView(): z.input<typeof shardsView> {
    const { tableVersion, entries } = this.#routing();
    const moveOf = (shard: number) =>
      this.moves.find((move) => move.state === 'running' && move.shards.some((moved) => moved.shard === shard));
    return {
      tableVersion,
      shards: entries.map((entry) => {
        const move = moveOf(entry.shard);
        const copy = `${entry.state} ${entry.owner}@${entry.epoch}`;
        return {
          ...entry,
          area: AREAS.find(({ shard }) => shard === entry.shard)?.name,
          copies: Object.fromEntries(ZONES.map((zone) => [zone, copy])),
          ...(move === undefined ? {} : { moveId: move.moveId }),
        };
      }),
    };
  }

  #routing(): z.input<typeof routingSnapshot> {
    const onTheWay = new Map(
      this.moves.flatMap(({ shards }) =>
        shards.flatMap(({ shard, state, to }) =>
          state === 'intended' ? [[shard, { state: 'moving' as const, heir: to }] as const] : [],
        ),
      ),
    );
    const entries = [...this.#owners].map(([shard, owner]) => ({
      shard,
      owner,
      epoch: this.#epochs.get(shard) ?? 1,
      ...(onTheWay.get(shard) ?? { state: 'serving' as const }),
    }));
    return { tableVersion: 15, areaMapVersion: AREAS.length, entries };
  }
}

function heirOf(target: MoveTarget, shard: number, owner: string): string | undefined {
  switch (target.kind) {
    case 'shards':
      return target.shards.includes(shard) ? target.to : undefined;
    case 'drain':
      return owner === target.zone ? (target.to ?? ZONES.find((zone) => zone !== owner)) : undefined;
    case 'undrain':
      return target.zone;
    case 'failover':
      return owner === target.zone ? ZONES.find((zone) => zone !== owner) : undefined;
  }
}

/** An answer that breaks the contract must fail the spec, not pass for one. */
function send<Schema extends z.ZodType>(
  response: ServerResponse,
  status: number,
  schema: Schema,
  body: z.input<Schema>,
  type = 'application/json',
): void {
  response.writeHead(status, { 'content-type': type });
  response.end(JSON.stringify(schema.parse(body)));
}
