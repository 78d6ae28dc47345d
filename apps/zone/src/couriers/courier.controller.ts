import { Body, Controller, Get, Param, Post, Res } from '@nestjs/common';
import { type CourierView, type RegisterCourierRequest, registerCourierRequest } from '@borough/contracts';
import { type FastifyReply } from 'fastify';
import { readId } from '../http/read-id.js';
import { sendAnswer } from '../writes/send-answer.js';
import { Write, type WriteRequest } from '../http/write-request.js';
import { CourierService } from './courier.service.js';

@Controller('v1/couriers')
export class CourierController {
  constructor(private readonly couriers: CourierService) {}

  @Post()
  async register(
    @Write() write: WriteRequest,
    @Body({ schema: registerCourierRequest }) body: RegisterCourierRequest,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    sendAnswer(reply, await this.couriers.register(write, body));
  }

  @Get(':courierId')
  get(@Param('courierId') courierId: string): Promise<CourierView> {
    return this.couriers.get(readId('courier', courierId));
  }
}
