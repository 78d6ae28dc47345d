import { Body, Controller, Get, Param, Post, Res } from '@nestjs/common';
import { type OpenStoreRequest, openStoreRequest, type StoreView } from '@borough/contracts';
import { type FastifyReply } from 'fastify';
import { readId } from '../http/read-id.js';
import { sendAnswer } from '../writes/send-answer.js';
import { Write, type WriteRequest } from '../http/write-request.js';
import { StoreService } from './store.service.js';

@Controller('v1/stores')
export class StoreController {
  constructor(private readonly stores: StoreService) {}

  @Post()
  async open(
    @Write() write: WriteRequest,
    @Body({ schema: openStoreRequest }) body: OpenStoreRequest,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    sendAnswer(reply, await this.stores.open(write, body));
  }

  @Get(':storeId')
  get(@Param('storeId') storeId: string): Promise<StoreView> {
    return this.stores.get(readId('store', storeId));
  }
}
