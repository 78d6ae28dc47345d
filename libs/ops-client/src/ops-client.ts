import {
  abortMove,
  areaMapView,
  auditList,
  auditPage,
  auditView,
  cancelAudit,
  createArea,
  createAudit,
  createdArea,
  createMove,
  getAreaMap,
  getAudit,
  getAuditLog,
  getMove,
  getReceipt,
  getRouting,
  getShards,
  getZones,
  heldOrdersView,
  IDEMPOTENCY_KEY_HEADER,
  listAudits,
  listHeldOrders,
  listMoves,
  listReceipts,
  movePage,
  movePlan,
  moveView,
  receiptPage,
  releasedOrder,
  releaseHeldOrder,
  routingSnapshot,
  shardsView,
  wholeReceipt,
  zonesView,
  type AbortMoveRequest,
  type AreaMapView,
  type AuditList,
  type AuditPage,
  type AuditView,
  type CreateAreaRequest,
  type CreateAuditRequest,
  type CreatedArea,
  type CreateMoveRequest,
  type HeldOrdersView,
  type MovePage,
  type MovePlan,
  type MoveView,
  type ReceiptPage,
  type ReleasedOrder,
  type ReleaseOrderRequest,
  type RoutingSnapshot,
  type ShardsView,
  type WholeReceipt,
  type ZonesView,
} from '@borough/contracts';
import { v4 } from 'uuid';
import { type z } from 'zod';
import { Coordinators, pause } from './coordinators.js';
import { moveEvents } from './move-events.js';
import { isTimeout, wordsOfBreak } from './one-try.js';
import { pathOf, queryOf } from './path-of.js';

const DEADLINE_MS = 10_000;
const TRY_MS = 5_000;
const SILENT_MAX_MS = 5_000;
/** Between two connections of a watch, so that a coordinator that ends each at once is not asked in a tight loop. */
const RECONNECT_PAUSE_MS = 200;

export interface OpsClientOptions {
  /** Base URLs of all coordinators, in any order; at least one. */
  readonly coordinatorUrls: readonly string[];
  /** How long a call looks for a coordinator that carries it out, in ms; default 10,000. */
  readonly deadlineMs?: number;
  /** How long one coordinator gets to answer before the next one is asked, in ms; default 5,000. */
  readonly tryMs?: number;
  /** How long a watched coordinator may send nothing before another one is asked, in ms; default 5,000. */
  readonly silentMaxMs?: number;
  /** Idempotency keys; default UUIDv4. */
  readonly newKey?: () => string;
}

/** What every call takes besides. */
export interface CallOptions {
  /** Ends the call with the signal's reason. A change that was asked for may happen all the same. */
  readonly signal?: AbortSignal | undefined;
}

export interface WriteOptions extends CallOptions {
  /** One effect per key. Without it the call makes one of its own, which it keeps across its tries. */
  readonly idempotencyKey?: string | undefined;
}

export interface WatchOptions extends CallOptions {
  /** Called when the coordinator that was sending is lost, with why in words; another one is asked next. */
  readonly onLost?: ((coordinator: string, why: string) => void) | undefined;
}

/**
 * The ops API, one call per endpoint. Runs anywhere that has `fetch`.
 *
 * Every call goes to any coordinator; those that do not lead or do not answer are passed over, until the deadline.
 *
 * Each call throws `OpsRefused` (change the request), `NoCoordinator` (try again later) or `AnswerNotUnderstood`
 * (another release), and the signal's reason when it was ended by its signal.
 */
export class OpsClient {
  readonly #coordinators: Coordinators;
  readonly #silentMaxMs: number;
  readonly #newKey: () => string;

  /** @throws RangeError without any coordinator */
  constructor(options: OpsClientOptions) {
    if (options.coordinatorUrls.length === 0) throw new RangeError('at least one coordinator is needed');
    this.#coordinators = new Coordinators(options.coordinatorUrls, {
      deadlineMs: options.deadlineMs ?? DEADLINE_MS,
      tryMs: options.tryMs ?? TRY_MS,
    });
    this.#silentMaxMs = options.silentMaxMs ?? SILENT_MAX_MS;
    this.#newKey = options.newKey ?? v4;
  }

  /** The coordinator that answered the last call, as its base URL. */
  get answeredBy(): string {
    return this.#coordinators.preferred;
  }

  /** What a move would do. Changes nothing. A blocked plan is an answer, not a refusal. */
  planMove(request: Omit<CreateMoveRequest, 'dryRun'>, options: CallOptions = {}): Promise<MovePlan> {
    return this.#post(createMove.path, { ...request, dryRun: true }, movePlan, options);
  }

  /**
   * Begins a move and does not wait for its end; the same key gives the same move, also at another coordinator.
   *
   * @throws OpsRefused among others `move-blocked`, `shard-in-move`, `nothing-to-move`: nothing was changed
   */
  beginMove(request: Omit<CreateMoveRequest, 'dryRun'>, options: WriteOptions = {}): Promise<MoveView> {
    return this.#post(createMove.path, { ...request, dryRun: false }, moveView, options);
  }

  /**
   * One page of moves, the newest first.
   *
   * @param page `limit` 1 to 100, by default 20; `before`: the `next` of the page before
   */
  listMoves(page: { limit?: number | undefined; before?: string | undefined } = {}, options: CallOptions = {}) {
    return this.#get(`${listMoves.path}${queryOf(page)}`, movePage, options) satisfies Promise<MovePage>;
  }

  /** A move as it stands. */
  getMove(moveId: string, options: CallOptions = {}): Promise<MoveView> {
    return this.#get(pathOf(getMove.path, { moveId }), moveView, options);
  }

  /**
   * A move as it stands, and then each time it has changed, until it has ended; each view is whole and newer than the one
   * before. Another coordinator is asked when one is lost. Views may be skipped, the last one never.
   *
   * @throws NoCoordinator when for the deadline none answers; the move itself goes on as soon as one leads
   */
  async *watchMove(moveId: string, options: WatchOptions = {}): AsyncGenerator<MoveView, void> {
    const { signal, onLost } = options;
    let version = 0;
    for (;;) {
      // Asked first on every connection: it finds a coordinator that lives, and misses nothing that happened in between.
      const stands = await this.getMove(moveId, { signal });
      if (stands.version > version) yield stands;
      version = Math.max(version, stands.version);
      if (stands.state === 'ended') return;

      const coordinator = this.#coordinators.preferred;
      try {
        for await (const view of moveEvents(coordinator, moveId, this.#silentMaxMs, signal)) {
          if (view.version <= version) continue;
          version = view.version;
          yield view;
          if (view.state === 'ended') return;
        }
        onLost?.(coordinator, 'it closed the connection');
      } catch (error) {
        signal?.throwIfAborted();
        // A coordinator that only had nothing to say is not lost; one that is frozen will not answer the next question.
        if (!isTimeout(error)) onLost?.(coordinator, wordsOfBreak(error));
      }
      this.#coordinators.avoidPreferred();
      await pause(RECONNECT_PAUSE_MS, signal);
    }
  }

  /** Asks for a move to be stopped; answers before it has ended, so watch it. @throws OpsRefused `move-ended` */
  abortMove(moveId: string, request: AbortMoveRequest, options: WriteOptions = {}): Promise<MoveView> {
    return this.#post(pathOf(abortMove.path, { moveId }), request, moveView, options);
  }

  /** Zones, routers, leader and running moves, as one coordinator sees them. */
  getZones(options: CallOptions = {}): Promise<ZonesView> {
    return this.#get(getZones.path, zonesView, options);
  }

  /** Every shard, with what each voter holds of it. */
  getShards(options: CallOptions = {}): Promise<ShardsView> {
    return this.#get(getShards.path, shardsView, options);
  }

  /**
   * One page of who did what, the newest first.
   *
   * @param page `limit` 1 to 200, by default 50; `before`: the `next` of the page before
   */
  getAuditLog(page: { limit?: number | undefined; before?: string | undefined } = {}, options: CallOptions = {}) {
    return this.#get(`${getAuditLog.path}${queryOf(page)}`, auditPage, options) satisfies Promise<AuditPage>;
  }

  /**
   * Orders that take no change since a failover or a declared loss, the longest held first.
   *
   * @param page `limit` 1 to 500, by default 50
   */
  listHeldOrders(page: { limit?: number | undefined } = {}, options: CallOptions = {}): Promise<HeldOrdersView> {
    return this.#get(`${listHeldOrders.path}${queryOf(page)}`, heldOrdersView, options);
  }

  /**
   * Lets an order be changed again that is held after a declared loss. Repeating it is refused as
   * `order-not-held`, also where the first answer was lost on its way: the order is free then.
   *
   * @throws OpsRefused among others `order-not-found`, `order-not-held`
   */
  releaseOrder(orderId: string, request: ReleaseOrderRequest, options: WriteOptions = {}): Promise<ReleasedOrder> {
    return this.#post(pathOf(releaseHeldOrder.path, { orderId }), request, releasedOrder, options);
  }

  /**
   * One page of the rows that deposed owners had written and nobody was told of, the newest first.
   *
   * @param page `limit` 1 to 500, by default 50; `before`: the `next` of the page before, of the same filter
   */
  listReceipts(
    page: {
      zone?: string | undefined;
      table?: string | undefined;
      shard?: number | undefined;
      limit?: number | undefined;
      before?: string | undefined;
    } = {},
    options: CallOptions = {},
  ): Promise<ReceiptPage> {
    return this.#get(`${listReceipts.path}${queryOf(page)}`, receiptPage, options);
  }

  /** One receipt, with the row as it stood and the row in its place. @throws OpsRefused `receipt-not-found` */
  getReceipt(zone: string, id: number, options: CallOptions = {}): Promise<WholeReceipt> {
    return this.#get(pathOf(getReceipt.path, { zone, id: `${id}` }), wholeReceipt, options);
  }

  /**
   * Begins an audit. Repeating it with the same `auditId` begins nothing anew.
   *
   * @throws OpsRefused among others `zone-not-found`
   */
  beginAudit(request: CreateAuditRequest, options: CallOptions = {}): Promise<AuditView> {
    return this.#post(createAudit.path, { auditId: this.#newKey(), ...request }, auditView, options);
  }

  /** Audits, the newest first. @param page `limit` 1 to 50, by default 20 */
  listAudits(page: { limit?: number | undefined } = {}, options: CallOptions = {}): Promise<AuditList> {
    return this.#get(`${listAudits.path}${queryOf(page)}`, auditList, options);
  }

  /** How far an audit is, and what it found. @throws OpsRefused `audit-not-found` */
  getAudit(auditId: string, options: CallOptions = {}): Promise<AuditView> {
    return this.#get(pathOf(getAudit.path, { auditId }), auditView, options);
  }

  /** Ends an audit with what it has found so far. @throws OpsRefused `audit-not-found` */
  cancelAudit(auditId: string, options: CallOptions = {}): Promise<AuditView> {
    return this.#post(pathOf(cancelAudit.path, { auditId }), {}, auditView, options);
  }

  /** Adds an area with a shard of its own; the same name and cells again give the same area. */
  createArea(request: CreateAreaRequest, options: WriteOptions = {}): Promise<CreatedArea> {
    return this.#post(createArea.path, request, createdArea, options);
  }

  /** The whole routing table. */
  getRouting(options: CallOptions = {}): Promise<RoutingSnapshot> {
    return this.#get(getRouting.path, routingSnapshot, options);
  }

  /** Which cells belong to which shard. */
  getAreaMap(options: CallOptions = {}): Promise<AreaMapView> {
    return this.#get(getAreaMap.path, areaMapView, options);
  }

  #get<Schema extends z.ZodType>(path: string, read: Schema, { signal }: CallOptions): Promise<z.output<Schema>> {
    return this.#coordinators.ask({ method: 'GET', path, headers: {} }, read, signal);
  }

  #post<Schema extends z.ZodType>(
    path: string,
    body: object,
    read: Schema,
    { signal, idempotencyKey }: WriteOptions,
  ): Promise<z.output<Schema>> {
    const headers = {
      'content-type': 'application/json',
      [IDEMPOTENCY_KEY_HEADER]: idempotencyKey ?? this.#newKey(),
    };
    return this.#coordinators.ask({ method: 'POST', path, headers, body: JSON.stringify(body) }, read, signal);
  }
}
