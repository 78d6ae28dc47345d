/** For specs: three voters in three real databases, and coordinators of them that may be cut off or killed. */
import { type MoveView } from '@borough/contracts';
import { type Logger } from '@borough/server-kit';
import {
  type Area,
  type InSyncPromise,
  type InSyncRecord,
  type MoveId,
  type ShardNumber,
  type Term,
  type ZoneId,
} from '@borough/topology';
import { pino } from 'pino';
import {
  type Applied,
  type Intent,
  type Pulse,
  type ShardReading,
  Voter,
  type VoterReading,
  type ZoneFacts,
} from './voter.js';
import { type Judgement, Voters } from './voters.js';

/** What a voter needs of a zone's database. */
export interface VoterDatabase {
  readonly controlUrl: string;
  query<Row extends Record<string, unknown>>(sql: string, parameters?: readonly unknown[]): Promise<Row[]>;
  claim(zoneId: string): Promise<void>;
  drop(): Promise<void>;
}

export const ZONES = ['a', 'b', 'c'] as const;
export type Zone = (typeof ZONES)[number];

/** Nobody listens there. */
const AWAY_URL = 'postgres://nobody@127.0.0.1:1/none';

/** What stands between a coordinator and the voters. */
export class Network {
  /** Voters it cannot reach. */
  readonly away = new Set<Zone>();
  /** After so many writes nothing of the coordinator reaches anybody any more, as if it was killed there. */
  writesLeft = Infinity;
  /** Answers to a reading come back after this. */
  readingsPass: Promise<unknown> = Promise.resolve();
  /** How many answers to a reading have come from the voters. */
  readings = 0;
  /** How many calls did not reach their voter. */
  lost = 0;

  constructor(...away: Zone[]) {
    for (const zone of away) this.away.add(zone);
  }
}

/** The real voter, behind a network that may fail. */
class DistantVoter extends Voter {
  constructor(
    private readonly zone: Zone,
    url: string,
    options: { readonly name: string; readonly logger: Logger },
    private readonly network: Network,
  ) {
    super(zone, url, options);
  }

  override async read(): Promise<VoterReading> {
    this.reach();
    const reading = await super.read();
    this.network.readings += 1;
    await this.network.readingsPass;
    return reading;
  }

  override async readShards(shards: readonly ShardNumber[]): Promise<ShardReading> {
    this.reach();
    return super.readShards(shards);
  }

  override async pulse(): Promise<Pulse> {
    this.reach();
    return super.pulse();
  }

  override async facts(zones: readonly ZoneId[]): Promise<ZoneFacts> {
    this.reach();
    return super.facts(zones);
  }

  override async move(moveId: MoveId): Promise<MoveView | undefined> {
    this.reach();
    return super.move(moveId);
  }

  override async moves(limit: number, before?: MoveId): Promise<MoveView[]> {
    this.reach();
    return super.moves(limit, before);
  }

  override async moveOfRequest(requestKey: string): Promise<MoveView | undefined> {
    this.reach();
    return super.moveOfRequest(requestKey);
  }

  override async promise(term: Term): Promise<boolean> {
    this.reach();
    return super.promise(term);
  }

  override async beat(term: Term): Promise<void> {
    this.reach();
    await super.beat(term);
  }

  override async accept(term: Term, shard: ShardNumber, epoch: number, owner: string): Promise<void> {
    this.reachToWrite();
    await super.accept(term, shard, epoch, owner);
  }

  override async serve(term: Term, shard: ShardNumber, epoch: number, owner: string): Promise<void> {
    this.reachToWrite();
    await super.serve(term, shard, epoch, owner);
  }

  override async intend(term: Term, intent: Intent): Promise<void> {
    this.reachToWrite();
    await super.intend(term, intent);
  }

  override async fence(term: Term, intent: Intent): Promise<string> {
    this.reachToWrite();
    return super.fence(term, intent);
  }

  override async promiseInSync(zone: ZoneId, ballot: number): Promise<InSyncPromise> {
    this.reach();
    return super.promiseInSync(zone, ballot);
  }

  override async acceptInSync(zone: ZoneId, ballot: number, record: InSyncRecord): Promise<boolean> {
    this.reachToWrite();
    return super.acceptInSync(zone, ballot, record);
  }

  override async seal(...call: Parameters<Voter['seal']>): Promise<void> {
    this.reachToWrite();
    await super.seal(...call);
  }

  override async sealForRejoin(...call: Parameters<Voter['sealForRejoin']>): Promise<void> {
    this.reachToWrite();
    await super.sealForRejoin(...call);
  }

  override async endApplyWorkers(...call: Parameters<Voter['endApplyWorkers']>): Promise<boolean> {
    this.reach();
    return super.endApplyWorkers(...call);
  }

  override async appliedFrom(zone: ZoneId): Promise<Applied> {
    this.reach();
    return super.appliedFrom(zone);
  }

  override async takeEpochs(...call: Parameters<Voter['takeEpochs']>): Promise<void> {
    this.reachToWrite();
    await super.takeEpochs(...call);
  }

  override async passTailAndUnseal(...call: Parameters<Voter['passTailAndUnseal']>): Promise<void> {
    this.reachToWrite();
    await super.passTailAndUnseal(...call);
  }

  override async serveHeld(...call: Parameters<Voter['serveHeld']>): Promise<void> {
    this.reachToWrite();
    await super.serveHeld(...call);
  }

  override async importHealed(...call: Parameters<Voter['importHealed']>): Promise<number> {
    this.reachToWrite();
    return super.importHealed(...call);
  }

  override async releaseHolds(...call: Parameters<Voter['releaseHolds']>): Promise<number> {
    this.reachToWrite();
    return super.releaseHolds(...call);
  }

  override async putMove(term: Term, move: MoveView, isOpen: boolean, requestKey: string | undefined): Promise<void> {
    this.reachToWrite();
    await super.putMove(term, move, isOpen, requestKey);
  }

  override async putArea(term: Term, area: Area): Promise<void> {
    this.reachToWrite();
    await super.putArea(term, area);
  }

  private reach(): void {
    if (!this.network.away.has(this.zone) && this.network.writesLeft >= 0) return;
    this.network.lost += 1;
    throw new Error('out of reach');
  }

  private reachToWrite(): void {
    this.reach();
    this.network.writesLeft -= 1;
    this.reach();
  }
}

export class ThreeVoters {
  private readonly ends: (() => Promise<void>)[] = [];
  readonly silent: Logger = pino({ level: 'silent' });

  private constructor(private readonly databases: Readonly<Record<Zone, VoterDatabase>>) {}

  static async start(create: () => Promise<VoterDatabase>): Promise<ThreeVoters> {
    const [a, b, c] = await Promise.all([create(), create(), create()]);
    const databases = { a, b, c };
    await Promise.all(ZONES.map((zone) => databases[zone].claim(zone)));
    return new ThreeVoters(databases);
  }

  /** The address of every voter, as a coordinator that cannot reach some of them has it. */
  urls(...away: Zone[]): ReadonlyMap<Zone, string> {
    return new Map(ZONES.map((zone) => [zone, away.includes(zone) ? AWAY_URL : this.databases[zone].controlUrl]));
  }

  coordinator(id: string, network = new Network()): Voters {
    const voters = [...this.urls()].map(
      ([zone, url]) => new DistantVoter(zone, url, { name: id, logger: this.silent }, network),
    );
    const coordinator = new Voters(id, voters, this.silent);
    this.ends.push(() => coordinator.end());
    return coordinator;
  }

  /** What a coordinator would decide from now. */
  judge(coordinator: Voters): Promise<Judgement> {
    return coordinator.asLeader((judgement) => Promise.resolve(judgement));
  }

  /** One voter by itself, for writing what a coordinator that died left behind. */
  voter(zone: Zone): Voter {
    const voter = new Voter(zone, this.databases[zone].controlUrl, { name: 'spec', logger: this.silent });
    this.ends.push(() => voter.end());
    return voter;
  }

  query<Row extends Record<string, unknown>>(zone: Zone, sql: string, parameters?: readonly unknown[]): Promise<Row[]> {
    return this.databases[zone].query<Row>(sql, parameters);
  }

  /** Each voter's copy of a shard, like `serving a@1`; `-` where it has none. */
  async copiesOf(shard: ShardNumber): Promise<Record<Zone, string>> {
    const copies = await Promise.all(
      ZONES.map(async (zone) => {
        const sql = `SELECT o.state || ' ' || o.owner || '@' || o.epoch AS copy FROM control.ownership o WHERE o.shard = $1`;
        const [row] = await this.query<{ copy: string }>(zone, sql, [shard]);
        return [zone, row?.copy ?? '-'];
      }),
    );
    return Object.fromEntries(copies) as Record<Zone, string>;
  }

  /** Each voter's areas by name, with their shard. */
  async areas(): Promise<Record<Zone, Record<string, number>>> {
    const areas = await Promise.all(
      ZONES.map(async (zone) => {
        const rows = await this.query<{ name: string; shard: number }>(
          zone,
          'SELECT a.name, a.shard FROM control.area a',
        );
        return [zone, Object.fromEntries(rows.map(({ name, shard }) => [name, shard]))];
      }),
    );
    return Object.fromEntries(areas) as Record<Zone, Record<string, number>>;
  }

  /** The highest term each voter has promised, like `2 x`. */
  async promises(): Promise<Record<Zone, string>> {
    const promises = await Promise.all(
      ZONES.map(async (zone) => {
        const [row] = await this.query<{ promise: string }>(
          zone,
          `SELECT t.number || ' ' || t.coordinator AS promise FROM control.term t`,
        );
        return [zone, row?.promise ?? ''];
      }),
    );
    return Object.fromEntries(promises) as Record<Zone, string>;
  }

  /** Ends every coordinator, and makes the voters forget all they were told. After each test. */
  async clear(): Promise<void> {
    await Promise.all(this.ends.splice(0).map((end) => end()));
    for (const zone of ZONES) {
      await this.query(zone, 'TRUNCATE control.ownership, control.area, control.move, control.in_sync, control.seal');
      await this.query(zone, `UPDATE control.term SET number = 0, coordinator = ''`);
    }
  }

  async stop(): Promise<void> {
    for (const zone of ZONES) await this.databases[zone].drop();
  }
}
