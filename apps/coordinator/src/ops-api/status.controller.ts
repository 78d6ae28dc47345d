import { Controller, Get, Inject, Query } from '@nestjs/common';
import { type AuditPage, getAuditLog, MOVE_ID_PATTERN, type ShardsView, type ZonesView } from '@borough/contracts';
import { Problem, readQuery } from '@borough/server-kit';
import { Moves } from '../moves/moves.js';
import { auditEntriesOf, ClusterStatus } from './cluster-status.js';

@Controller('ops/v1')
export class StatusController {
  constructor(
    @Inject(ClusterStatus) private readonly status: ClusterStatus,
    @Inject(Moves) private readonly moves: Moves,
  ) {}

  @Get('zones')
  zones(): Promise<ZonesView> {
    return this.status.zones();
  }

  @Get('shards')
  shards(): Promise<ShardsView> {
    return this.status.shards();
  }

  /** A page holds all entries of so many moves: an entry lives in the record of its move. */
  @Get('audit-log')
  async auditLog(@Query() parameters: unknown): Promise<AuditPage> {
    const { limit, before } = readQuery(getAuditLog.query, parameters);
    if (before !== undefined && !MOVE_ID_PATTERN.test(before)) throw new Problem('malformed-cursor');
    const moves = await this.moves.list(limit, before);
    const last = moves.length < limit ? undefined : moves.at(-1)?.moveId;
    return { entries: auditEntriesOf(moves), ...(last === undefined ? {} : { next: last }) };
  }
}
