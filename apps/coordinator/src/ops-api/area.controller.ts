import { Body, Controller, Inject, Post, Res } from '@nestjs/common';
import { type CreateAreaRequest, createAreaRequest } from '@borough/contracts';
import { type FastifyReply } from 'fastify';
import { Leadership } from '../voters/leadership.js';
import { AreaCreation } from './area-creation.js';

@Controller('ops/v1/areas')
export class AreaController {
  constructor(
    @Inject(AreaCreation) private readonly creation: AreaCreation,
    @Inject(Leadership) private readonly leadership: Leadership,
  ) {}

  @Post()
  async create(
    @Body({ schema: createAreaRequest }) request: CreateAreaRequest,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    this.leadership.requireLead();
    const { area, isNew } = await this.creation.create(request);
    void reply.code(isNew ? 201 : 200).send(area);
  }
}
