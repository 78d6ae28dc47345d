import { randomBytes } from 'node:crypto';
import { type AuditList, type AuditView, type CreateAuditRequest } from '@borough/contracts';
import { type Logger, Problem } from '@borough/server-kit';
import { majority, newUuid, type Term, type ZoneId } from '@borough/topology';
import { type Leadership } from '../voters/leadership.js';
import { type AuditPart } from '../voters/voter.js';
import { type Voters } from '../voters/voters.js';

/** Audits are work of the zones, each of which compares its own copies. They are begun and read here, and kept there. */
export class Audits {
  constructor(
    private readonly voters: Voters,
    private readonly leadership: Leadership,
    private readonly logger: Logger,
  ) {}

  /**
   * Begins its part in every zone that answers; again with the same id changes nothing.
   *
   * @throws Problem `not-leader`, `no-majority`, `stale-term`, `zone-not-found`; `zone-unavailable` when no zone answers
   */
  async begin({ auditId, requestedBy, ...scope }: CreateAuditRequest): Promise<AuditView> {
    this.leadership.requireLead();
    const wanted = scope.zones ?? this.voters.zoneIds;
    const unknown = wanted.find((zone) => !this.voters.zoneIds.includes(zone));
    if (unknown !== undefined) throw new Problem('zone-not-found', { detail: `There is no zone ${unknown}.` });
    const id = auditId ?? newUuid(0, Date.now(), () => randomBytes(16));
    const term = await this.leadingTerm();
    const begun = await this.voters.atEach(term, wanted, (voter) => voter.requestAudit(term, id, scope, requestedBy));
    if (begun.size === 0) throw unavailable();
    this.logger.info({ auditId: id, requestedBy, ...scope, zones: [...begun.keys()] }, 'audit begun');
    return this.find(id);
  }

  /** @throws Problem `zone-unavailable` when no zone answers */
  async list(limit: number): Promise<AuditList> {
    const answers = await this.voters.audits(limit);
    if (answers.size === 0) throw unavailable();
    const parts = new Map<string, AuditPart[]>();
    for (const part of [...answers.values()].flat())
      parts.set(part.auditId, [...(parts.get(part.auditId) ?? []), part]);
    const audits = [...parts.values()].map((ofOne) => viewOf(ofOne, this.voters.zoneIds));
    audits.sort((a, b) => (a.requestedAt < b.requestedAt ? 1 : -1));
    return { audits: audits.slice(0, limit) };
  }

  /** @throws Problem `audit-not-found` when a majority of zones knows nothing of it; `zone-unavailable` when too few answer */
  async find(auditId: string): Promise<AuditView> {
    const answers = await this.voters.auditParts(auditId);
    const parts = [...answers.values()].filter((part) => part !== null);
    if (parts.length > 0) return viewOf(parts, this.voters.zoneIds);
    if (answers.size < majority(this.voters.zoneIds.length)) throw unavailable();
    throw new Problem('audit-not-found');
  }

  /** One that has ended stays as it is. @throws Problem as `begin` and `find` */
  async cancel(auditId: string): Promise<AuditView> {
    this.leadership.requireLead();
    await this.find(auditId);
    const term = await this.leadingTerm();
    await this.voters.atEach(term, this.voters.zoneIds, (voter) => voter.cancelAudit(term, auditId));
    return this.find(auditId);
  }

  private leadingTerm(): Promise<Term> {
    return this.voters.asLeader(({ term }) => Promise.resolve(term));
  }
}

/** What the zones say of one audit, as one. @param answered at least one */
function viewOf(answered: readonly AuditPart[], zoneIds: readonly ZoneId[]): AuditView {
  const parts = [...answered].sort((a, b) => (a.zone < b.zone ? -1 : 1));
  const [first] = parts;
  if (first === undefined) throw new Error('an audit without any part');
  const { auditId, request, requestedBy } = first;
  // What a zone makes by itself is its own business.
  const wanted = requestedBy === BY_SCHEDULE ? [first.zone] : (request.zones ?? zoneIds);
  const unanswered = wanted.filter((zone) => !parts.some((part) => part.zone === zone));
  const pairs = parts.flatMap(({ result }) => result?.pairs ?? []);
  const total = (of: (pair: AuditView['pairs'][number]) => number): number =>
    pairs.reduce((sum, pair) => sum + of(pair), 0);
  const hasEnded = parts.every(({ state }) => state === 'ended');
  const state = hasEnded ? 'ended' : parts.some((part) => part.state !== 'waiting') ? 'running' : 'waiting';
  const isCancelled = parts.some((part) => part.isCancelled);
  const differing = total((pair) => pair.differing.length);
  const undecided = total((pair) => pair.undecided);
  const owners = request.zones ?? zoneIds;
  const isSeen = wanted.every((copy) =>
    owners.every((owner) => owner === copy || pairs.some((pair) => pair.copy === copy && pair.owner === owner)),
  );
  const isWhole = isSeen && pairs.every(({ isComplete, problem }) => isComplete && problem === undefined);
  const ends = parts.flatMap(({ endedAt }) => (endedAt === undefined ? [] : [instantOf(endedAt)])).sort();
  const lastEnd = hasEnded ? ends.at(-1) : undefined;
  return {
    auditId,
    state,
    request,
    requestedBy,
    requestedAt: parts.map(({ requestedAt }) => instantOf(requestedAt)).sort()[0] ?? '',
    ...(lastEnd === undefined ? {} : { endedAt: lastEnd }),
    isCancelled,
    zones: parts.map(({ zone, state: its, progress }) => ({
      zone,
      state: its,
      ...(progress === undefined ? {} : { progress }),
    })),
    unanswered,
    pairs,
    rowsCompared: total((pair) => pair.rowsCompared),
    rowsRead: total((pair) => pair.rowsRead),
    differing,
    undecided,
    isEqual: hasEnded && !isCancelled && unanswered.length === 0 && isWhole && differing + undecided === 0,
  };
}

/** As the zones write it (apps/zone/src/replication/audit). */
const BY_SCHEDULE = 'schedule';

/** PostgreSQL's in JSON: microseconds and an offset. */
function instantOf(text: string): string {
  return new Date(text).toISOString();
}

function unavailable(): Problem {
  return new Problem('zone-unavailable', { detail: 'Too few databases of zones answer.', retryAfterSeconds: 1 });
}
