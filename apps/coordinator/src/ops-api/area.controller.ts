import { Body, Controller, Inject, Post, Res } from '@nestjs/common';
import { type CreateAreaRequest, createAreaRequest } from '@borough/contracts';
import { type FastifyReply } from 'fastify';
import { AreaCreation } from './area-creation.js';

@Controller('ops/v1/areas')
export class AreaController {
  constructor(@Inject(AreaCreation) private readonly creation: AreaCreation) {}

  @Post()
  async create(
    @Body({ schema: createAreaRequest }) request: CreateAreaRequest,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    const { area, isNew } = await this.creation.create(request);
    void reply.code(isNew ? 201 : 200).send(area);
  }
}
