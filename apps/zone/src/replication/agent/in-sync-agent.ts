import { type Logger } from '@borough/server-kit';
import {
  type InSyncRecord,
  type InSyncRegister,
  nextAddStep,
  nextDropStep,
  settingCovers,
  type ZoneId,
} from '@borough/topology';
import { hasCaughtUp, isLost, type MemberBounds, type MemberWatch, NEVER_SEEN, watchMember } from './member-watch.js';
import { type OwnServer, type ServerLook } from './own-server.js';

export interface InSyncAgentParts {
  readonly zoneId: ZoneId;
  readonly peers: readonly ZoneId[];
  readonly server: OwnServer;
  readonly register: InSyncRegister;
  /** Zones whose subscriptions take in all our tables. */
  readonly covered: () => ReadonlySet<ZoneId>;
  /** Whether a zone holds the rows of every shard we own, compared after the record was read (R2). */
  readonly isEqual: (zone: ZoneId) => Promise<boolean>;
  readonly bounds: MemberBounds;
  readonly logger: Logger;
}

/** The record is read again after this, in ms: others may change it too. */
const READ_AGAIN_MS = 5_000;
/** The same while commits wait for a lost zone that a move keeps in: after the first time, and at most, in ms. */
const MIN_READ_PAUSE_MS = 40;
const MAX_READ_PAUSE_MS = 160;
/** A growth that did not come about is tried again after this, in ms. */
const GROW_AGAIN_MS = 400;
const GROW_AGAIN_WHILE_STARTING_MS = 60;
const BEAT_EVERY_MS = 300;
/** A freeze that keeps a silent member in for so long is worth a word, in ms: writes wait for it. */
const LONG_FREEZE_MS = 2_000;

/**
 * Keeps the in-sync record of the zone true, and its PostgreSQL waiting for at least everyone in it (SPEC.md R1–R3).
 *
 * ```
 * drop    a member is away, or silent while commits wait ─► record ─► setting ─► nudge
 * add     a zone has caught up ─► compare ─► setting ─► walsenders loaded it ─► marker flushed ─► record
 * ```
 *
 * It needs no coordinator: the record is changed on a majority of voters, of which the zone itself is one. A record that a
 * move has frozen refuses both; what the move itself drops is followed by the setting.
 */
export class InSyncAgent {
  private readonly watches = new Map<ZoneId, MemberWatch>();
  private record: InSyncRecord | undefined;
  private readAtMs = -Infinity;
  private readPauseMs = 0;
  private beatAtMs = -Infinity;
  private growing: ZoneId | undefined;
  /**
   * Zones found equal: the version of the record that was read before, and the stream that has gone on since. A zone that
   * streams anew may have lost changes between the two, with its slot or its disk (mesh.ts), and is compared again.
   */
  private readonly equalAt = new Map<ZoneId, { readonly version: number; readonly sender: number }>();
  private readonly comparing = new Set<ZoneId>();
  private readonly growAgainAtMs = new Map<ZoneId, number>();
  private frozenSinceMs: number | undefined;
  private isFreezeSaid = false;
  private hasBeenWhole = false;

  constructor(private readonly parts: InSyncAgentParts) {}

  /** Zones in the record, as last known; empty until it was read. */
  get members(): readonly ZoneId[] {
    return this.record?.members ?? [];
  }

  /** A member has been away for a moment: it is about to be dropped, or back. */
  get isMissingOne(): boolean {
    const { missedMs } = this.parts.bounds;
    return this.members.some((zone) => {
      const { awaySinceMs } = this.watches.get(zone) ?? NEVER_SEEN;
      return awaySinceMs !== undefined && performance.now() - awaySinceMs < 4 * missedMs;
    });
  }

  /** One look, and at most one change. */
  async round(signal: AbortSignal): Promise<void> {
    const { server } = this.parts;
    const nowMs = performance.now();
    if (nowMs - this.beatAtMs >= BEAT_EVERY_MS) {
      this.beatAtMs = nowMs;
      await server.beat();
    }
    const look = await server.look();
    const lost = this.judge(look);
    const isWaitedForInVain = look.waiting > 0 && lost.length > 0;
    if (nowMs - this.readAtMs >= (isWaitedForInVain ? this.readPauseMs : READ_AGAIN_MS)) await this.read();
    const record = this.record;
    if (record === undefined) return;
    await this.coverRecord(look, record);
    for (const zone of lost) if (record.members.includes(zone)) await this.drop(zone);
    await this.tidy(look, nowMs, signal);
    await this.growOne(look);
  }

  private judge({ reports, waiting }: ServerLook): ZoneId[] {
    const nowMs = performance.now();
    return this.parts.peers.filter((zone) => {
      const watch = watchMember(this.watches.get(zone) ?? NEVER_SEEN, reports.get(zone), waiting > 0, nowMs);
      this.watches.set(zone, watch);
      return isLost(watch, this.parts.bounds, nowMs);
    });
  }

  /** Each reading takes a ballot, so one that finds nothing new is followed by a longer pause: the move may want to write. */
  private async read(): Promise<void> {
    const before = this.record;
    this.record = await this.parts.register.read(this.parts.zoneId);
    this.readAtMs = performance.now();
    const isNews = before?.version !== this.record.version;
    this.readPauseMs = isNews ? 0 : Math.min(MAX_READ_PAUSE_MS, 2 * this.readPauseMs + MIN_READ_PAUSE_MS);
  }

  /** R1, should anybody have written a smaller setting: the record wins. */
  private async coverRecord({ setting }: ServerLook, record: InSyncRecord): Promise<void> {
    if (settingCovers(setting, record)) return;
    const missing = record.members.filter((zone) => !setting.includes(zone));
    this.parts.logger.error({ missing }, 'the setting did not wait for every recorded zone; it does now');
    await this.parts.server.writeSetting([...missing, ...setting]);
  }

  private async drop(member: ZoneId): Promise<void> {
    const { register, zoneId } = this.parts;
    const record = this.record;
    if (record === undefined) return;
    const step = nextDropStep(member, record, []);
    if (step.kind === 'give-up') {
      this.sayFrozen(record, member);
      return;
    }
    if (step.kind !== 'change-record') return;
    const outcome = await register.change(zoneId, step.change, step.begunFrom);
    this.record = outcome.record;
    this.readAtMs = performance.now();
    if (!outcome.record.members.includes(member)) this.sayDropped(member, outcome.record);
  }

  /**
   * The setting follows the record. Only after a reading under a new ballot, which refuses changes that an agent before
   * this one may have sent and that are still under way.
   */
  private async tidy(look: ServerLook, begunAtMs: number, signal: AbortSignal): Promise<void> {
    const isExtra = (zone: ZoneId): boolean => zone !== this.growing && this.record?.members.includes(zone) !== true;
    if (!look.setting.some(isExtra)) return;
    if (this.readAtMs < begunAtMs) await this.read();
    const left = look.setting.filter((zone) => !isExtra(zone));
    if (left.length === look.setting.length) return;
    await this.parts.server.writeSetting(left);
    await this.parts.server.nudge(signal);
  }

  private async growOne(look: ServerLook): Promise<void> {
    const record = this.record;
    if (record === undefined || record.frozenBy.length > 0) return;
    const nowMs = performance.now();
    const candidate = this.parts.peers.find(
      (zone) =>
        !record.members.includes(zone) &&
        hasCaughtUp(look.reports.get(zone)) &&
        this.parts.covered().has(zone) &&
        nowMs >= (this.growAgainAtMs.get(zone) ?? -Infinity),
    );
    if (candidate === undefined) return;
    const sender = look.reports.get(candidate)?.sender;
    if (sender === undefined) return;
    const equal = this.equalAt.get(candidate);
    if (equal?.version !== record.version || equal.sender !== sender) {
      this.compare(candidate, sender);
      return;
    }
    this.growing = candidate;
    try {
      if (await this.grow(candidate, look, record.version)) this.sayAdded(candidate);
      else this.growLater(candidate);
    } finally {
      this.growing = undefined;
      this.equalAt.delete(candidate);
    }
  }

  /** Beside the rounds: it may take long, and members are dropped meanwhile. The record is read first (R2). */
  private compare(zone: ZoneId, sender: number): void {
    if (this.comparing.has(zone)) return;
    this.comparing.add(zone);
    const { register, zoneId, isEqual, logger } = this.parts;
    const compared = async (): Promise<void> => {
      const { version } = await register.read(zoneId);
      if (await isEqual(zone)) this.equalAt.set(zone, { version, sender });
      else this.growLater(zone);
    };
    compared()
      .catch((error: unknown) => {
        logger.debug({ err: error, zone }, 'a zone could not be compared');
        this.growLater(zone);
      })
      .finally(() => this.comparing.delete(zone));
  }

  private growLater(zone: ZoneId): void {
    const pauseMs = this.hasBeenWhole ? GROW_AGAIN_MS : GROW_AGAIN_WHILE_STARTING_MS;
    this.growAgainAtMs.set(zone, performance.now() + pauseMs);
  }

  /** Setting first, record last (R1); compared before anything (R2). @returns whether the zone is recorded now */
  private async grow(member: ZoneId, look: ServerLook, comparedFrom: number): Promise<boolean> {
    const { server, register, zoneId } = this.parts;
    const record = await register.read(zoneId);
    this.record = record;
    let setting = look.setting;
    const wasSolo = setting.length === 0;
    let facts = {
      record,
      setting,
      comparedFrom,
      haveSendersReloaded: false,
      isLeavingSolo: wasSolo,
      hasFlushedMarker: false,
    };
    for (;;) {
      const step = nextAddStep(member, facts);
      switch (step.kind) {
        case 'heal-and-compare':
          return false;
        case 'write-setting':
          // First in the list, so that the priority of every other one changes and shows that it has been loaded.
          setting = [member, ...setting];
          await server.writeSetting(setting);
          facts = { ...facts, setting };
          break;
        case 'end-old-senders':
          if (!(await server.haveSendersLoaded(setting))) return false;
          facts = { ...facts, haveSendersReloaded: true };
          break;
        case 'see-a-commit-wait':
          if (!(await server.seeACommitWait())) return false;
          facts = { ...facts, isLeavingSolo: false };
          break;
        case 'await-marker':
          if (!(await server.hasFlushedMarker(member))) return false;
          facts = { ...facts, hasFlushedMarker: true };
          break;
        case 'change-record': {
          // Had it streamed anew since the setting names it, it would have seen itself there and waited (mesh.ts).
          const { reports } = await server.look();
          if (reports.get(member)?.sender !== look.reports.get(member)?.sender) return false;
          const outcome = await register.change(zoneId, step.change, step.begunFrom);
          this.record = outcome.record;
          this.readAtMs = performance.now();
          return outcome.isChanged;
        }
        case 'give-up':
          return false;
        case 'done':
          return true;
      }
    }
  }

  private sayDropped(dropped: ZoneId, { members }: InSyncRecord): void {
    this.frozenSinceMs = undefined;
    const cost =
      members.length === 0
        ? 'this zone now acknowledges writes ALONE: losing it loses them'
        : `writes are now on disk here and in ${members.join(', ')} only`;
    this.parts.logger.error({ dropped, members }, `zone ${dropped} dropped from the in-sync record: ${cost}`);
  }

  private sayAdded(added: ZoneId): void {
    const { peers, logger } = this.parts;
    const facts = { added, members: this.members };
    this.hasBeenWhole ||= this.members.length === peers.length;
    logger.info(facts, `zone ${added} is in the in-sync record`);
  }

  /** Once, and again when it takes long. */
  private sayFrozen({ frozenBy }: InSyncRecord, silent: ZoneId): void {
    const nowMs = performance.now();
    if (this.frozenSinceMs === undefined) {
      this.frozenSinceMs = nowMs;
      this.isFreezeSaid = false;
    }
    if (this.isFreezeSaid || nowMs - this.frozenSinceMs < LONG_FREEZE_MS) return;
    this.isFreezeSaid = true;
    this.parts.logger.warn(
      { frozenBy, silent },
      'a move keeps a silent zone in the in-sync record: writes may be waiting for it',
    );
  }
}
