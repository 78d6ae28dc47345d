import { Body, Controller, Get, HttpCode, Inject, Param, Post, Query } from '@nestjs/common';
import {
  type HeldOrdersView,
  listHeldOrders,
  type ReleasedOrder,
  releaseHeldOrder,
  type ReleaseOrderRequest,
} from '@borough/contracts';
import { readQuery } from '@borough/server-kit';
import { HeldOrders } from './held-orders.js';

@Controller('ops/v1/held-orders')
export class HeldOrdersController {
  constructor(@Inject(HeldOrders) private readonly heldOrders: HeldOrders) {}

  @Get()
  list(@Query() parameters: unknown): Promise<HeldOrdersView> {
    return this.heldOrders.list(readQuery(listHeldOrders.query, parameters).limit);
  }

  @Post(':orderId/release')
  @HttpCode(200)
  release(
    @Param('orderId') orderId: string,
    @Body({ schema: releaseHeldOrder.body }) request: ReleaseOrderRequest,
  ): Promise<ReleasedOrder> {
    return this.heldOrders.release(orderId, request);
  }
}
