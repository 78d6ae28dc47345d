import { Body, Controller, Get, Headers, Inject, Param, Post, Query, Res } from '@nestjs/common';
import {
  abortMove,
  type AbortMoveRequest,
  createMove,
  createMoveRequest,
  IDEMPOTENCY_KEY_HEADER,
  listMoves,
  MOVE_ID_PATTERN,
  type MovePage,
  type MoveView,
} from '@borough/contracts';
import { Problem, readQuery } from '@borough/server-kit';
import { type FastifyReply } from 'fastify';
import { type z } from 'zod';
import { Moves } from '../moves/moves.js';
import { streamMove } from './move-stream.js';

type CreateMove = z.output<typeof createMoveRequest>;

@Controller('ops/v1/moves')
export class MoveController {
  constructor(@Inject(Moves) private readonly moves: Moves) {}

  @Post()
  async create(
    @Body({ schema: createMove.body }) request: CreateMove,
    @Headers(IDEMPOTENCY_KEY_HEADER) requestKey: string | undefined,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    if (request.dryRun) {
      void reply.code(200).send(await this.moves.plan(request.target));
      return;
    }
    const { move, isNew } = await this.moves.begin(request, requestKey);
    void reply
      .code(isNew ? 202 : 200)
      .header('location', `/ops/v1/moves/${move.moveId}`)
      .send(move);
  }

  @Get()
  async list(@Query() parameters: unknown): Promise<MovePage> {
    const query = readQuery(listMoves.query, parameters);
    const moves = await this.moves.list(query.limit, query.before);
    const last = moves.length < query.limit ? undefined : moves.at(-1)?.moveId;
    return { moves, ...(last === undefined ? {} : { next: last }) };
  }

  @Get(':moveId')
  find(@Param('moveId') moveId: string): Promise<MoveView> {
    return this.moves.find(requireMoveId(moveId));
  }

  @Get(':moveId/events')
  async events(@Param('moveId') moveId: string, @Res() reply: FastifyReply): Promise<void> {
    await streamMove(this.moves, requireMoveId(moveId), reply);
  }

  @Post(':moveId/abort')
  async abort(
    @Param('moveId') moveId: string,
    @Body({ schema: abortMove.body }) request: AbortMoveRequest,
    @Res() reply: FastifyReply,
  ): Promise<void> {
    void reply.code(202).send(await this.moves.abort(requireMoveId(moveId), request));
  }
}

function requireMoveId(text: string): string {
  if (!MOVE_ID_PATTERN.test(text)) throw new Problem('malformed-id', { detail: 'A move is named like mov_….' });
  return text;
}
