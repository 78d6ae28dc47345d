import { type PostgresSession } from '@borough/server-kit';
import { type Area, type OwnershipRow, type ShardNumber, type Term, type ZoneId } from '@borough/topology';
import pg from 'pg';

/** Longest wait for one voter, in ms: a majority does not wait for a frozen one longer than this. */
const VOTER_DEADLINE_MS = 1_000;

/** SQLSTATE of a control function that was called with a term that is over. */
const STALE_TERM = 'BR410';

pg.types.setTypeParser(pg.types.builtins.INT8, Number);

/** An area as a voter stores it, with the term it was written under. */
interface StoredArea extends Area {
  readonly term: Term;
}

/** Everything one voter knows, read in one statement. */
export interface VoterReading {
  readonly promised: Term;
  readonly ownership: readonly OwnershipRow[];
  readonly areas: readonly StoredArea[];
}

/** Thrown when another coordinator holds a newer promise: whoever gets it no longer leads. */
export class StaleTerm extends Error {
  constructor(cause: unknown) {
    super('another coordinator leads', { cause });
    this.name = 'StaleTerm';
  }
}

/** The control functions of one zone's PostgreSQL (0001-control.sql): nothing else talks to them. */
export class Voter {
  constructor(
    readonly zoneId: ZoneId,
    private readonly session: PostgresSession,
  ) {}

  async read(): Promise<VoterReading> {
    const [reading] = await this.session.query<{ reading: VoterReading }>(
      `SELECT json_build_object(
         'promised', (SELECT json_build_object('number', t.number, 'coordinator', t.coordinator) FROM control.term t),
         'ownership', (SELECT coalesce(json_agg(json_strip_nulls(json_build_object(
              'shard', o.shard, 'epoch', o.epoch, 'state', o.state, 'owner', o.owner, 'heir', o.heir,
              'moveId', o.move_id,
              'term', json_build_object('number', o.term_number, 'coordinator', o.term_coordinator)))), '[]')
              FROM control.ownership o),
         'areas', (SELECT coalesce(json_agg(json_build_object(
              'shard', a.shard, 'name', a.name, 'cells', a.cells,
              'term', json_build_object('number', a.term_number, 'coordinator', a.term_coordinator))), '[]')
              FROM control.area a)) AS reading`,
      [],
      VOTER_DEADLINE_MS,
    );
    if (reading === undefined) throw new Error(`voter ${this.zoneId} answered nothing`);
    return reading.reading;
  }

  /** Whether the voter now refuses every term lower than this one. */
  async promise(term: Term): Promise<boolean> {
    const [answer] = await this.call<{ granted: boolean }>('promise_term', term, []);
    return answer?.granted === true;
  }

  /** @throws StaleTerm; DatabaseError BR409 when the epoch is over or this zone still serves the shard */
  async accept(term: Term, shard: ShardNumber, epoch: number, owner: ZoneId): Promise<void> {
    await this.call('accept_ownership', term, [shard, epoch, owner]);
  }

  /** @throws StaleTerm; DatabaseError BR409 when it was not accepted here */
  async serve(term: Term, shard: ShardNumber, epoch: number, owner: ZoneId): Promise<void> {
    await this.call('serve_ownership', term, [shard, epoch, owner]);
  }

  /** @throws StaleTerm */
  async putArea(term: Term, area: Area): Promise<void> {
    await this.call('put_area', term, [area.shard, area.name, area.cells]);
  }

  end(): Promise<void> {
    return this.session.end();
  }

  private async call<Row extends pg.QueryResultRow>(
    name: string,
    term: Term,
    parameters: readonly unknown[],
  ): Promise<Row[]> {
    const all = [term.number, term.coordinator, ...parameters];
    const places = all.map((_, at) => `$${at + 1}`).join(', ');
    try {
      return await this.session.query<Row>(`SELECT * FROM control.${name}(${places})`, all, VOTER_DEADLINE_MS);
    } catch (error) {
      throw error instanceof pg.DatabaseError && error.code === STALE_TERM ? new StaleTerm(error) : error;
    }
  }
}
