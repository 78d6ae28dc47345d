import { Body, Controller, Get, Param, Post, Query, Res } from '@nestjs/common';
import {
  type ChangeOrderRequest,
  changeOrderRequest,
  type OrderPage,
  type OrderView,
  pageQuery,
  type PlaceOrderRequest,
  placeOrderRequest,
} from '@borough/contracts';
import { readQuery } from '@borough/server-kit';
import { type FastifyReply } from 'fastify';
import { readId } from '../http/read-id.js';
import { sendAnswer } from '../writes/send-answer.js';
import { Write, type WriteRequest } from '../http/write-request.js';
import { OrderService } from './order.service.js';

@Controller('v1')
export class OrderController {
  constructor(private readonly orders: OrderService) {}

  @Post('orders')
  async place(
    @Write() write: WriteRequest,
    @Body({ schema: placeOrderRequest }) body: PlaceOrderRequest,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    sendAnswer(reply, await this.orders.place(write, body));
  }

  @Post('orders/:orderId/accept')
  async accept(
    @Write() write: WriteRequest,
    @Param('orderId') orderId: string,
    @Body({ schema: changeOrderRequest }) body: ChangeOrderRequest,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    sendAnswer(reply, await this.orders.change(write, readId('order', orderId), 'accept', body));
  }

  @Post('orders/:orderId/cancel')
  async cancel(
    @Write() write: WriteRequest,
    @Param('orderId') orderId: string,
    @Body({ schema: changeOrderRequest }) body: ChangeOrderRequest,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    sendAnswer(reply, await this.orders.change(write, readId('order', orderId), 'cancel', body));
  }

  @Get('orders/:orderId')
  get(@Param('orderId') orderId: string): Promise<OrderView> {
    return this.orders.get(readId('order', orderId));
  }

  @Get('customers/:customerId/orders')
  list(@Param('customerId') customerId: string, @Query() query: unknown): Promise<OrderPage> {
    return this.orders.listOfCustomer(readId('customer', customerId), readQuery(pageQuery, query));
  }
}
