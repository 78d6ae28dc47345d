import { Body, Controller, Get, HttpCode, Inject, Param, Post, Query } from '@nestjs/common';
import {
  type AuditList,
  type AuditView,
  createAudit,
  type CreateAuditRequest,
  getAudit,
  listAudits,
} from '@borough/contracts';
import { Problem, readQuery } from '@borough/server-kit';
import { Audits } from './audits.js';

@Controller('ops/v1/audits')
export class AuditsController {
  constructor(@Inject(Audits) private readonly audits: Audits) {}

  @Post()
  @HttpCode(202)
  begin(@Body({ schema: createAudit.body }) request: CreateAuditRequest): Promise<AuditView> {
    return this.audits.begin(request);
  }

  @Get()
  list(@Query() parameters: unknown): Promise<AuditList> {
    return this.audits.list(readQuery(listAudits.query, parameters).limit);
  }

  @Get(':auditId')
  find(@Param() parameters: unknown): Promise<AuditView> {
    return this.audits.find(idOf(parameters));
  }

  @Post(':auditId/cancel')
  @HttpCode(200)
  cancel(@Param() parameters: unknown): Promise<AuditView> {
    return this.audits.cancel(idOf(parameters));
  }
}

function idOf(parameters: unknown): string {
  const read = getAudit.params.safeParse(parameters);
  if (!read.success) throw new Problem('malformed-id', { detail: 'An audit is named by a UUID.' });
  return read.data.auditId;
}
