import {
  type AuditPair,
  type AuditSummary,
  type AuditView,
  type HeldOrder,
  type HealingProgress,
  type MoveView,
  type Receipt,
  type WholeReceipt,
} from '@borough/contracts';
import { type Logger, PostgresSession } from '@borough/server-kit';
import {
  type Area,
  type InSyncCopy,
  type InSyncPromise,
  type InSyncRecord,
  type MoveId,
  type OwnershipRow,
  type ShardNumber,
  type Term,
  type ZoneId,
} from '@borough/topology';
import pg from 'pg';

/** Longest wait for one voter, in ms: a majority does not wait for a frozen one longer than this. */
const VOTER_DEADLINE_MS = 1_000;

/** Calls to one voter that may be under way at once: a fence that waits for its writers must not hold up the others. */
const SESSIONS_PER_VOTER = 4;

/**
 * After a deadline was missed, and nothing else was answered meanwhile, calls fail at once for so long, in ms: a frozen
 * voter then costs a move one deadline, not one for each of its steps.
 */
const SILENT_MS = 2_000;

/** SQLSTATE of a control function that was called with a term that is over. */
const STALE_TERM = 'BR410';

pg.types.setTypeParser(pg.types.builtins.INT8, Number);

/** An area as a voter stores it, with the term it was written under. */
interface StoredArea extends Area {
  readonly term: Term;
}

/** A zone whose changes this voter's zone takes in no more, and the failover that wanted it so. */
interface Seal {
  readonly zone: ZoneId;
  readonly moveId: MoveId;
}

/** Everything one voter knows, read in one statement. */
export interface VoterReading {
  readonly promised: Term;
  readonly ownership: readonly OwnershipRow[];
  readonly areas: readonly StoredArea[];
  /** Its copies of the in-sync records; what a majority says is the record, see `InSyncRegister`. */
  readonly inSync: readonly InSyncCopy[];
  readonly seals: readonly Seal[];
  /** Records of the moves that have not ended. */
  readonly runningMoves: readonly MoveView[];
}

/** Who leads as one voter knows it; `beats` grows while that coordinator lives. */
export interface Pulse {
  readonly promised: Term;
  readonly beats: number;
}

/** One voter's promise and its copies of a few shards. */
export interface ShardReading {
  readonly promised: Term;
  readonly ownership: readonly OwnershipRow[];
  /** How long the oldest of these copies has been moving or fenced, in ms; 0 when none is. */
  readonly inMoveForMs: number;
}

/** What a zone's database says about itself (control.zone_facts). */
export interface ZoneFacts {
  readonly zone: ZoneId;
  /** Zones each of its commits waits for. */
  readonly waitsFor: readonly ZoneId[];
  /** Bytes of its log that each zone it streams to has not confirmed. */
  readonly behindBytes: Readonly<Record<ZoneId, number>>;
  readonly unguardedTables: readonly string[];
  readonly closedTables: readonly string[];
}

/** What a zone's database says when it is looked at. */
export interface ZoneLook {
  /** Other zones whose changes come in here, by how long ago the last sign of them came, in ms. */
  readonly heardMsAgo: Readonly<Record<ZoneId, number>>;
  /** Commits wait for members of the in-sync set. */
  readonly areCommitsWaiting: boolean;
  /** Zones that commits wait for. */
  readonly waitsFor: readonly ZoneId[];
}

/** How the changes of another zone come in. Counters are since the statistics of that subscription began. */
export interface IncomingLink {
  readonly from: ZoneId;
  readonly isSubscribed: boolean;
  readonly isEnabled: boolean;
  readonly hasWorker: boolean;
  /** How long ago anything came, in ms; absent while no worker runs. */
  readonly heardMsAgo?: number;
  /** Applied up to here, in bytes of the other's log. */
  readonly position?: number;
  /** Age of the newest beat of the other zone that was applied, in ms by both servers' clocks; absent before the first. */
  readonly beatAgeMs?: number;
  readonly applyErrors: number;
  /** By PostgreSQL's names without `confl_`; empty on servers that do not count them. */
  readonly conflicts: Readonly<Record<string, number>>;
  readonly isSealed: boolean;
}

/** What a zone keeps for another one that takes in its changes. */
export interface OutgoingLink {
  readonly to: ZoneId;
  readonly hasSlot: boolean;
  readonly isActive: boolean;
  /** Commits wait for that zone. */
  readonly isCounted: boolean;
  /** Log that the other zone has not got was thrown away. */
  readonly isLost: boolean;
  readonly lostBecause?: string;
  readonly lagBytes?: number;
  /** Until log it has not got is thrown away, in bytes; absent where all is kept. */
  readonly logLeftBytes?: number;
}

/** Both sides of a zone's links to all others (control.link_health). */
export interface LinkFacts {
  readonly zone: ZoneId;
  readonly incoming: readonly IncomingLink[];
  readonly outgoing: readonly OutgoingLink[];
  /** So much of its log a zone keeps for a link, in bytes; null: all of it. */
  readonly keptLogBytes: number | null;
  /** How long the oldest commit that waits for members has waited, in ms; 0 when none does. */
  readonly commitsWaitMs: number;
}

/** How far a zone has come with the changes of another. */
export interface Applied {
  /** In bytes of the other's log; absent where it takes in nothing of it. */
  readonly position?: number;
  readonly isSealed: boolean;
  /** The newest beat of the other zone that has come here. */
  readonly lastBeatAt?: string;
}

/** Held orders of the shards a zone owns; `orders` may be fewer than there are. `orderId` is a UUID. */
export interface HeldAtZone {
  readonly total: number;
  readonly orders: readonly Omit<HeldOrder, 'zone'>[];
}

/** What one zone says of its part of an audit (0010-audits.sql). Instants as PostgreSQL writes them. */
export interface AuditPart {
  readonly auditId: string;
  readonly zone: ZoneId;
  readonly state: AuditView['state'];
  readonly request: AuditView['request'];
  readonly requestedBy: string;
  readonly requestedAt: string;
  readonly isCancelled: boolean;
  readonly progress?: NonNullable<AuditView['zones'][number]['progress']>;
  readonly result?: { readonly pairs: AuditPair[] };
  readonly endedAt?: string;
}

/** What a zone does beside serving. */
export interface ZoneWork {
  readonly lastAudit?: AuditSummary;
  readonly healing: HealingProgress[];
}

/** Which receipts are asked for; all where nothing is said. */
export interface ReceiptFilter {
  readonly table?: string | undefined;
  readonly shard?: ShardNumber | undefined;
}

/** A shard, its epoch, and who owns it then. */
export interface OwnedEpoch {
  readonly shard: ShardNumber;
  readonly epoch: number;
  readonly owner: ZoneId;
}

/** A new disk: what this zone promised is lost, so it has no say until it has learnt it again. */
class NotVoting extends Error {
  constructor(zoneId: ZoneId) {
    super(`zone ${zoneId} has lost what was voted and does not vote yet`);
    this.name = 'NotVoting';
  }
}

/** Thrown when another coordinator holds a newer promise: whoever gets it no longer leads. */
export class StaleTerm extends Error {
  constructor(cause: unknown) {
    super('another coordinator leads', { cause });
    this.name = 'StaleTerm';
  }
}

/** The intent of a move for one shard, as the voters store it. */
export interface Intent {
  readonly shard: ShardNumber;
  /** The epoch that ends with the move. */
  readonly epoch: number;
  readonly heir: ZoneId;
  readonly moveId: MoveId;
}

const OWNERSHIP_ROW = `json_strip_nulls(json_build_object(
  'shard', o.shard, 'epoch', o.epoch, 'state', o.state, 'owner', o.owner, 'heir', o.heir, 'moveId', o.move_id,
  'term', json_build_object('number', o.term_number, 'coordinator', o.term_coordinator)))`;
const IS_VOTING = '(SELECT v.is_voting FROM control.voter v)';
const IN_SYNC_COPY = `json_build_object('voter', (SELECT z.id FROM control.zone z), 'ballot', r.ballot, 'record',
  json_build_object('zone', r.zone, 'members', r.members, 'version', r.version, 'frozenBy', r.frozen_by))`;
const PROMISED = `(SELECT json_build_object('number', t.number, 'coordinator', t.coordinator) FROM control.term t)`;

/** The control functions of one zone's PostgreSQL (migrations 0001, 0003, 0005 to 0008): nothing else talks to them. */
export class Voter {
  private readonly sessions: readonly { session: PostgresSession; calls: number }[];
  private readonly watching: PostgresSession;
  private answeredAtMs = -Infinity;
  private silentUntilMs = -Infinity;
  private hasEnded = false;

  constructor(
    readonly zoneId: ZoneId,
    connectionString: string,
    options: { readonly name: string; readonly logger: Logger },
  ) {
    this.watching = new PostgresSession(connectionString, {
      ...options,
      name: `${options.name}-watch`,
      connectTimeoutMs: 250,
    });
    this.sessions = Array.from({ length: SESSIONS_PER_VOTER }, () => ({
      session: new PostgresSession(connectionString, options),
      calls: 0,
    }));
  }

  read(): Promise<VoterReading> {
    return this.askVoter<VoterReading>(
      `SELECT json_build_object('isVoting', ${IS_VOTING},
         'promised', ${PROMISED},
         'ownership', (SELECT coalesce(json_agg(${OWNERSHIP_ROW}), '[]') FROM control.ownership o),
         'areas', (SELECT coalesce(json_agg(json_build_object(
              'shard', a.shard, 'name', a.name, 'cells', a.cells,
              'term', json_build_object('number', a.term_number, 'coordinator', a.term_coordinator))), '[]')
              FROM control.area a),
         'inSync', (SELECT coalesce(json_agg(${IN_SYNC_COPY}), '[]') FROM control.in_sync r),
         'seals', (SELECT coalesce(json_agg(json_build_object('zone', s.zone, 'moveId', s.move_id)), '[]')
              FROM control.seal s),
         'runningMoves', (SELECT coalesce(json_agg(m.document), '[]') FROM control.move m WHERE m.is_running)) AS answer`,
      [],
    );
  }

  readShards(shards: readonly ShardNumber[]): Promise<ShardReading> {
    return this.askVoter<ShardReading>(
      `SELECT json_build_object('isVoting', ${IS_VOTING},
         'promised', ${PROMISED},
         'ownership', (SELECT coalesce(json_agg(${OWNERSHIP_ROW}), '[]') FROM control.ownership o
                        WHERE o.shard = ANY ($1::integer[])),
         'inMoveForMs', (SELECT coalesce(max(extract(epoch FROM clock_timestamp() - o.changed_at) * 1000), 0)
                           FROM control.ownership o
                          WHERE o.shard = ANY ($1::integer[]) AND o.state IN ('moving', 'fenced'))) AS answer`,
      [shards],
    );
  }

  pulse(): Promise<Pulse> {
    return this.askVoter<Pulse>(
      `SELECT json_build_object('isVoting', ${IS_VOTING}, 'promised', ${PROMISED},
         'beats', (SELECT p.beats FROM control.leader_pulse p)) AS answer`,
      [],
    );
  }

  /** For the watch of zones: on a session of its own, that waits behind nothing. @param zones every zone there is */
  async look(zones: readonly ZoneId[], withinMs: number): Promise<ZoneLook> {
    const [row] = await this.watching.query<{ answer: ZoneLook }>(
      'SELECT control.zone_look($1) AS answer',
      [zones],
      withinMs,
    );
    if (row === undefined) throw new Error(`zone ${this.zoneId} answered nothing`);
    return row.answer;
  }

  /** @param zones every zone there is */
  facts(zones: readonly ZoneId[]): Promise<ZoneFacts> {
    return this.ask<ZoneFacts>('SELECT control.zone_facts($1) AS answer', [zones]);
  }

  /** @param zones every zone there is */
  linkFacts(zones: readonly ZoneId[]): Promise<LinkFacts> {
    return this.ask<LinkFacts>('SELECT control.link_health($1) AS answer', [zones]);
  }

  /** Orders placed and not yet delivered or cancelled, by shard; shards without any are left out. */
  async inProcessOrders(shards: readonly ShardNumber[]): Promise<ReadonlyMap<ShardNumber, number>> {
    const rows = await this.query<{ shard: number; orders: number }>(
      'SELECT shard, orders FROM control.in_process_orders($1)',
      [shards],
    );
    return new Map(rows.map(({ shard, orders }) => [shard, orders]));
  }

  /** The newest moves, older than `before` where given. */
  async moves(limit: number, before?: MoveId): Promise<MoveView[]> {
    const sql = 'WHERE $2::text IS NULL OR m.id < $2 ORDER BY m.id DESC LIMIT $1';
    return this.documents(sql, [limit, before ?? null]);
  }

  async move(moveId: MoveId): Promise<MoveView | undefined> {
    return (await this.documents('WHERE m.id = $1', [moveId]))[0];
  }

  /** The newest move of everything off a zone that has ended: a drain or a failover. */
  async lastDrain(zone: ZoneId): Promise<MoveView | undefined> {
    const sql = `WHERE m.document->>'state' = 'ended' AND m.document->'target'->>'kind' IN ('drain', 'failover')
                    AND m.document->'target'->>'zone' = $1
                  ORDER BY m.id DESC LIMIT 1`;
    return (await this.documents(sql, [zone]))[0];
  }

  async moveOfRequest(requestKey: string): Promise<MoveView | undefined> {
    return (await this.documents('WHERE m.request_key = $1', [requestKey]))[0];
  }

  /** Whether the voter now refuses every term lower than this one. */
  async promise(term: Term): Promise<boolean> {
    const [answer] = await this.call<{ granted: boolean }>('promise_term', term, []);
    return answer?.granted === true;
  }

  /** @throws StaleTerm */
  async beat(term: Term): Promise<void> {
    await this.call('beat', term, []);
  }

  /** @throws StaleTerm; DatabaseError BR409 when the epoch is over or this zone still serves the shard */
  async accept(term: Term, shard: ShardNumber, epoch: number, owner: ZoneId): Promise<void> {
    await this.call('accept_ownership', term, [shard, epoch, owner]);
  }

  /** @throws StaleTerm; DatabaseError BR409 when it was not accepted here */
  async serve(term: Term, shard: ShardNumber, epoch: number, owner: ZoneId): Promise<void> {
    await this.call('serve_ownership', term, [shard, epoch, owner]);
  }

  /** @throws StaleTerm; DatabaseError BR409 when the copy here is not at this epoch, or in another move */
  async intend(term: Term, { shard, epoch, heir, moveId }: Intent): Promise<void> {
    await this.call('intend_move', term, [shard, epoch, heir, moveId]);
  }

  /**
   * Fences the shard at its owner, which this voter must be.
   *
   * @returns the cut
   * @throws StaleTerm; DatabaseError BR409 when it is not owned here at this epoch, 55P03 when writers kept the lock
   */
  async fence(term: Term, { shard, epoch, heir, moveId }: Intent): Promise<string> {
    const [answer] = await this.call<{ fence_shard: string }>('fence_shard', term, [shard, epoch, heir, moveId]);
    if (answer === undefined) throw new Error(`zone ${this.zoneId} fenced shard ${shard} and named no cut`);
    return answer.fence_shard;
  }

  /** How many were ended. @throws StaleTerm */
  async endWriters(term: Term, shard: ShardNumber): Promise<number> {
    const [answer] = await this.call<{ end_writers: number }>('end_writers', term, [shard]);
    return answer?.end_writers ?? 0;
  }

  /** @returns the zones that have not applied this zone's log up to the cut within the time */
  async waitApplied(zones: readonly ZoneId[], cut: string, withinMs: number): Promise<readonly ZoneId[]> {
    const [row] = await this.query<{ late: ZoneId[] }>(
      'SELECT control.wait_applied($1, $2, $3) AS late',
      [zones, cut, withinMs],
      withinMs + VOTER_DEADLINE_MS,
    );
    return row?.late ?? zones;
  }

  /** One voter's part of `InSyncRegister`. */
  async promiseInSync(zone: ZoneId, ballot: number): Promise<InSyncPromise> {
    const [row] = await this.query<{
      is_granted: boolean;
      promised: number;
      ballot: number;
      members: ZoneId[];
      version: number;
      frozen_by: MoveId[];
    }>('SELECT * FROM control.promise_in_sync($1, $2)', [zone, ballot]);
    if (row === undefined) throw new Error(`voter ${this.zoneId} answered nothing`);
    const { members, version, frozen_by: frozenBy } = row;
    const copy = { voter: this.zoneId, ballot: row.ballot, record: { zone, members, version, frozenBy } };
    return { isGranted: row.is_granted, promised: row.promised, copy };
  }

  /** One voter's part of `InSyncRegister`. */
  async acceptInSync(zone: ZoneId, ballot: number, { members, version, frozenBy }: InSyncRecord): Promise<boolean> {
    const sql = 'SELECT control.accept_in_sync($1, $2, $3, $4, $5) AS is_taken';
    const [row] = await this.query<{ is_taken: boolean }>(sql, [zone, ballot, members, version, frozenBy]);
    return row?.is_taken === true;
  }

  /** @param isOpen it still has work for whoever leads. @throws StaleTerm */
  async putMove(term: Term, move: MoveView, isOpen: boolean, requestKey: string | undefined): Promise<void> {
    const { moveId, version } = move;
    await this.call('put_move', term, [moveId, version, isOpen, requestKey ?? null, JSON.stringify(move)]);
  }

  /**
   * Takes in nothing more of a zone: complete once `endApplyWorkers` said so.
   *
   * @param shards with the epochs that end: a voter that knows later ones refuses
   * @throws StaleTerm; DatabaseError BR409 when it comes after the rejoin
   */
  async seal(term: Term, zone: ZoneId, moveId: MoveId, shards: readonly Omit<OwnedEpoch, 'owner'>[]): Promise<void> {
    const numbers = shards.map(({ shard }) => shard);
    const epochs = shards.map(({ epoch }) => epoch);
    await this.call('seal_zone', term, [zone, moveId, numbers, epochs]);
  }

  /** At a zone that was away when the other was sealed off; does nothing where it is. @throws StaleTerm */
  async sealForRejoin(term: Term, zone: ZoneId, moveId: MoveId): Promise<void> {
    await this.call('seal_for_rejoin', term, [zone, moveId]);
  }

  /** Whether nothing applies changes of the sealed zone any more. @throws StaleTerm */
  async endApplyWorkers(term: Term, zone: ZoneId, withinMs: number): Promise<boolean> {
    const [answer] = await this.call<{ end_apply_workers: boolean }>('end_apply_workers', term, [zone, withinMs]);
    return answer?.end_apply_workers === true;
  }

  async appliedFrom(zone: ZoneId): Promise<Applied> {
    return this.ask<Applied>('SELECT json_strip_nulls(control.applied_from($1)::json) AS answer', [zone]);
  }

  /** At the returning zone. @throws StaleTerm; DatabaseError 55P03 when a writer of it still has a lock */
  async takeEpochs(term: Term, owned: readonly OwnedEpoch[]): Promise<void> {
    const columns = [owned.map(({ shard }) => shard), owned.map(({ epoch }) => epoch), owned.map(({ owner }) => owner)];
    await this.call('take_epochs', term, columns);
  }

  /** At the returning zone: which of these shards it has not healed from their owner since it knows these epochs. */
  async unhealedShards(owned: readonly OwnedEpoch[]): Promise<readonly ShardNumber[]> {
    const sql =
      'SELECT n.shard FROM unnest($1::integer[], $2::bigint[]) n (shard, epoch) WHERE NOT control.is_healed(n.shard, n.epoch)';
    const rows = await this.query<{ shard: number }>(sql, [
      owned.map(({ shard }) => shard),
      owned.map(({ epoch }) => epoch),
    ]);
    return rows.map(({ shard }) => shard);
  }

  /** Where this zone's log ends, in bytes. */
  async logPosition(): Promise<number> {
    return this.ask<number>('SELECT control.log_position() AS answer', []);
  }

  /** With `upTo` 0 the link goes on where it stood. @throws StaleTerm */
  async passTailAndUnseal(term: Term, zone: ZoneId, upTo: number): Promise<void> {
    await this.call('pass_tail_and_unseal', term, [zone, upTo]);
  }

  /** As `serve`, at the heir of a failover: with a hold on the orders in process. @throws as `serve` */
  async serveHeld(
    term: Term,
    { shard, epoch, owner }: OwnedEpoch,
    moveId: MoveId,
    reason: 'failover' | 'declared-loss',
  ): Promise<void> {
    await this.call('serve_ownership_held', term, [shard, epoch, owner, moveId, reason]);
  }

  /** What this zone has of what may have changed since in these shards, as `exportRecent` of another wants to know it. */
  async recentDigests(shards: readonly ShardNumber[], since: Date): Promise<string> {
    const sql = 'SELECT control.recent_digests($1, $2)::text AS digests';
    const [row] = await this.query<{ digests: string }>(sql, [shards, since]);
    if (row === undefined) throw new Error(`zone ${this.zoneId} answered nothing`);
    return row.digests;
  }

  /** Rows of these shards that may have changed since and that the other zone has not, as its `importHealed` takes them. */
  async exportRecent(shards: readonly ShardNumber[], since: Date, known: string): Promise<string> {
    const sql = 'SELECT control.export_recent($1, $2, $3)::text AS rows';
    const [row] = await this.query<{ rows: string }>(sql, [shards, since, known]);
    if (row === undefined) throw new Error(`zone ${this.zoneId} answered nothing`);
    return row.rows;
  }

  /** Takes the rows of a zone that is to own their shards; where this one has others, those become receipts. @throws StaleTerm */
  async importHealed(term: Term, rows: string): Promise<number> {
    const [answer] = await this.call<{ import_healed: number }>('import_healed', term, [rows]);
    return answer?.import_healed ?? 0;
  }

  /** Of the shards this zone owns. @returns how many of the move's holds stand still: another zone owns those shards. @throws StaleTerm */
  async releaseHolds(term: Term, moveId: MoveId): Promise<number> {
    const [answer] = await this.call<{ release_holds: number }>('release_holds', term, [moveId]);
    return answer?.release_holds ?? 0;
  }

  /** Of the shards this zone believes to own, the longest held first. */
  heldOrders(limit: number): Promise<HeldAtZone> {
    return this.ask<HeldAtZone>('SELECT control.held_orders($1) AS answer', [limit]);
  }

  /**
   * @param orderId a UUID
   * @returns whether a declared loss held it
   * @throws StaleTerm; DatabaseError BR404 when there is no such order, BR421 or BR503 when its shard is not served here
   */
  async releaseOrder(term: Term, orderId: string, requestedBy: string, why: string): Promise<boolean> {
    const [answer] = await this.call<{ release_order: boolean }>('release_order', term, [orderId, requestedBy, why]);
    return answer?.release_order === true;
  }

  /** The newest kept here, older than `before` where given. */
  receipts(filter: ReceiptFilter, limit: number, before?: number): Promise<readonly Omit<Receipt, 'zone'>[]> {
    const parameters = [filter.table ?? null, filter.shard ?? null, before ?? null, limit];
    return this.ask('SELECT control.receipts($1, $2, $3, $4) AS answer', parameters);
  }

  /** Null when none of that number is kept here. */
  receiptOf(id: number): Promise<Omit<WholeReceipt, 'zone'> | null> {
    return this.ask('SELECT control.receipt_of($1) AS answer', [id]);
  }

  /** @throws StaleTerm */
  async requestAudit(term: Term, auditId: string, request: object, requestedBy: string): Promise<void> {
    await this.call('request_audit', term, [auditId, JSON.stringify(request), requestedBy]);
  }

  /** @throws StaleTerm */
  async cancelAudit(term: Term, auditId: string): Promise<void> {
    await this.call('cancel_audit', term, [auditId]);
  }

  /** The newest that this zone has a part in. */
  audits(limit: number): Promise<readonly AuditPart[]> {
    return this.ask('SELECT control.audits($1) AS answer', [limit]);
  }

  /** Null when this zone has no part in it. */
  auditPart(auditId: string): Promise<AuditPart | null> {
    return this.ask('SELECT control.audit_of($1) AS answer', [auditId]);
  }

  work(): Promise<ZoneWork> {
    return this.ask('SELECT control.zone_work() AS answer', []);
  }

  /** @throws StaleTerm */
  async putArea(term: Term, area: Area): Promise<void> {
    await this.call('put_area', term, [area.shard, area.name, area.cells]);
  }

  /** What is asked from now on fails: whoever is in the middle of something leaves it as it is. */
  async end(): Promise<void> {
    this.hasEnded = true;
    await Promise.all([this.watching, ...this.sessions.map(({ session }) => session)].map((session) => session.end()));
  }

  /** As `ask`, of what a voter says as a voter. @throws NotVoting */
  private async askVoter<Answer>(sql: string, parameters: readonly unknown[]): Promise<Answer> {
    const { isVoting, ...answer } = await this.ask<Answer & { isVoting: boolean }>(sql, parameters);
    if (!isVoting) throw new NotVoting(this.zoneId);
    return answer as Answer;
  }

  /** @throws NotVoting: that it has no record of a move would say nothing */
  private async documents(where: string, parameters: readonly unknown[]): Promise<MoveView[]> {
    const rows = await this.query<{ document: MoveView | null }>(
      `(SELECT m.document FROM control.move m ${where}) UNION ALL (SELECT NULL WHERE NOT ${IS_VOTING})`,
      parameters,
    );
    return rows.map(({ document }) => {
      if (document === null) throw new NotVoting(this.zoneId);
      return document;
    });
  }

  private async ask<Answer>(sql: string, parameters: readonly unknown[]): Promise<Answer> {
    const [row] = await this.query<{ answer: Answer }>(sql, parameters);
    if (row === undefined) throw new Error(`voter ${this.zoneId} answered nothing`);
    return row.answer;
  }

  private async call<Row extends pg.QueryResultRow>(
    name: string,
    term: Term,
    parameters: readonly unknown[],
  ): Promise<Row[]> {
    const all = [term.number, term.coordinator, ...parameters];
    const places = all.map((_, at) => `$${at + 1}`).join(', ');
    try {
      return await this.query<Row>(`SELECT * FROM control.${name}(${places})`, all);
    } catch (error) {
      throw error instanceof pg.DatabaseError && error.code === STALE_TERM ? new StaleTerm(error) : error;
    }
  }

  /** On the session with the fewest calls under way. */
  private async query<Row extends pg.QueryResultRow>(
    sql: string,
    parameters: readonly unknown[],
    deadlineMs = VOTER_DEADLINE_MS,
  ): Promise<Row[]> {
    // A session would open again.
    if (this.hasEnded) throw new Error(`zone ${this.zoneId} is not asked any more`);
    const startedMs = performance.now();
    if (startedMs < this.silentUntilMs) throw new Error(`zone ${this.zoneId} gave no answer a moment ago`);
    const least = this.sessions.reduce((a, b) => (b.calls < a.calls ? b : a));
    least.calls += 1;
    try {
      const rows = await least.session.query<Row>(sql, parameters, deadlineMs);
      this.answeredAtMs = performance.now();
      return rows;
    } catch (error) {
      const nowMs = performance.now();
      if (error instanceof pg.DatabaseError) this.answeredAtMs = nowMs;
      else if (this.answeredAtMs < startedMs && nowMs - startedMs >= deadlineMs) this.silentUntilMs = nowMs + SILENT_MS;
      throw error;
    } finally {
      least.calls -= 1;
    }
  }
}
