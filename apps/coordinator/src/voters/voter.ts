import { type MoveView } from '@borough/contracts';
import { type Logger, PostgresSession } from '@borough/server-kit';
import { type Area, type MoveId, type OwnershipRow, type ShardNumber, type Term, type ZoneId } from '@borough/topology';
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

/** A move that keeps a zone's in-sync set as it is. */
interface Freeze {
  readonly zone: ZoneId;
  readonly moveId: MoveId;
}

/** Everything one voter knows, read in one statement. */
export interface VoterReading {
  readonly promised: Term;
  readonly ownership: readonly OwnershipRow[];
  readonly areas: readonly StoredArea[];
  readonly freezes: readonly Freeze[];
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
  readonly frozenBy: readonly MoveId[];
  readonly unguardedTables: readonly string[];
  readonly closedTables: readonly string[];
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
const PROMISED = `(SELECT json_build_object('number', t.number, 'coordinator', t.coordinator) FROM control.term t)`;

/** The control functions of one zone's PostgreSQL (0001-control.sql, 0003-moves.sql): nothing else talks to them. */
export class Voter {
  private readonly sessions: readonly { session: PostgresSession; calls: number }[];
  private answeredAtMs = -Infinity;
  private silentUntilMs = -Infinity;
  private hasEnded = false;

  constructor(
    readonly zoneId: ZoneId,
    connectionString: string,
    options: { readonly name: string; readonly logger: Logger },
  ) {
    this.sessions = Array.from({ length: SESSIONS_PER_VOTER }, () => ({
      session: new PostgresSession(connectionString, options),
      calls: 0,
    }));
  }

  read(): Promise<VoterReading> {
    return this.ask<VoterReading>(
      `SELECT json_build_object(
         'promised', ${PROMISED},
         'ownership', (SELECT coalesce(json_agg(${OWNERSHIP_ROW}), '[]') FROM control.ownership o),
         'areas', (SELECT coalesce(json_agg(json_build_object(
              'shard', a.shard, 'name', a.name, 'cells', a.cells,
              'term', json_build_object('number', a.term_number, 'coordinator', a.term_coordinator))), '[]')
              FROM control.area a),
         'freezes', (SELECT coalesce(json_agg(json_build_object('zone', f.zone, 'moveId', f.move_id)), '[]')
              FROM control.in_sync_freeze f),
         'runningMoves', (SELECT coalesce(json_agg(m.document), '[]') FROM control.move m WHERE m.is_running)) AS answer`,
      [],
    );
  }

  readShards(shards: readonly ShardNumber[]): Promise<ShardReading> {
    return this.ask<ShardReading>(
      `SELECT json_build_object(
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
    return this.ask<Pulse>(
      `SELECT json_build_object('promised', ${PROMISED},
         'beats', (SELECT p.beats FROM control.leader_pulse p)) AS answer`,
      [],
    );
  }

  /** @param zones every zone there is */
  facts(zones: readonly ZoneId[]): Promise<ZoneFacts> {
    return this.ask<ZoneFacts>('SELECT control.zone_facts($1) AS answer', [zones]);
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
    const rows = await this.query<{ document: MoveView }>(
      'SELECT m.document FROM control.move m WHERE $2::text IS NULL OR m.id < $2 ORDER BY m.id DESC LIMIT $1',
      [limit, before ?? null],
    );
    return rows.map(({ document }) => document);
  }

  async move(moveId: MoveId): Promise<MoveView | undefined> {
    const sql = 'SELECT m.document FROM control.move m WHERE m.id = $1';
    const [row] = await this.query<{ document: MoveView }>(sql, [moveId]);
    return row?.document;
  }

  /** The newest drain of a zone that has ended. */
  async lastDrain(zone: ZoneId): Promise<MoveView | undefined> {
    const sql = `SELECT m.document FROM control.move m
                  WHERE NOT m.is_running AND m.document->'target'->>'kind' = 'drain' AND m.document->'target'->>'zone' = $1
                  ORDER BY m.id DESC LIMIT 1`;
    const [row] = await this.query<{ document: MoveView }>(sql, [zone]);
    return row?.document;
  }

  async moveOfRequest(requestKey: string): Promise<MoveView | undefined> {
    const sql = 'SELECT m.document FROM control.move m WHERE m.request_key = $1';
    const [row] = await this.query<{ document: MoveView }>(sql, [requestKey]);
    return row?.document;
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

  /** @throws StaleTerm; DatabaseError 55P03 when this zone is changing its in-sync set just now */
  async freeze(term: Term, zones: readonly ZoneId[], moveId: MoveId): Promise<void> {
    await this.call('freeze_in_sync', term, [zones, moveId]);
  }

  /** @throws StaleTerm */
  async thaw(term: Term, moveId: MoveId): Promise<void> {
    await this.call('thaw_in_sync', term, [moveId]);
  }

  /** @throws StaleTerm */
  async putMove(term: Term, move: MoveView, requestKey: string | undefined): Promise<void> {
    const { moveId, version, state } = move;
    await this.call('put_move', term, [moveId, version, state === 'running', requestKey ?? null, JSON.stringify(move)]);
  }

  /** @throws StaleTerm */
  async putArea(term: Term, area: Area): Promise<void> {
    await this.call('put_area', term, [area.shard, area.name, area.cells]);
  }

  /** What is asked from now on fails: whoever is in the middle of something leaves it as it is. */
  async end(): Promise<void> {
    this.hasEnded = true;
    await Promise.all(this.sessions.map(({ session }) => session.end()));
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
