import { Controller, Get, Inject, Param, Query } from '@nestjs/common';
import {
  getReceipt,
  listReceipts,
  RECEIPT_CURSOR_PATTERN,
  type ReceiptPage,
  type WholeReceipt,
} from '@borough/contracts';
import { Problem, readQuery } from '@borough/server-kit';
import { type ZoneId } from '@borough/topology';
import { Receipts } from './receipts.js';

@Controller('ops/v1/receipts')
export class ReceiptsController {
  constructor(@Inject(Receipts) private readonly receipts: Receipts) {}

  @Get()
  list(@Query() parameters: unknown): Promise<ReceiptPage> {
    const { before, ...query } = readQuery(listReceipts.query, parameters);
    return this.receipts.list({ ...query, before: readCursor(before) });
  }

  @Get(':zone/:id')
  find(@Param() parameters: unknown): Promise<WholeReceipt> {
    const read = getReceipt.params.safeParse(parameters);
    if (!read.success) throw new Problem('malformed-id', { detail: 'A receipt is named like a/12.' });
    return this.receipts.find(read.data.zone, read.data.id);
  }
}

function readCursor(text: string | undefined): ReadonlyMap<ZoneId, number> {
  if (text === undefined) return new Map();
  if (!RECEIPT_CURSOR_PATTERN.test(text)) throw new Problem('malformed-cursor');
  return new Map(
    text.split(',').map((part) => {
      const [zone = '', id = ''] = part.split('/');
      return [zone, Number(id)];
    }),
  );
}
