import { Controller, Get, Headers, Inject, Res } from '@nestjs/common';
import { type FastifyReply } from 'fastify';
import { RoutingPublisher } from './routing-publisher.js';

/** Snapshots for routers: whoever missed a notice, or starts, fetches them. */
@Controller('v1')
export class RoutingController {
  constructor(@Inject(RoutingPublisher) private readonly publisher: RoutingPublisher) {}

  @Get('routing')
  routing(@Headers('if-none-match') known: string | undefined, @Res() reply: FastifyReply): void {
    const snapshot = this.publisher.snapshot();
    sendUnlessKnown(reply, known, `"${snapshot.tableVersion}.${snapshot.areaMapVersion}"`, snapshot);
  }

  @Get('area-map')
  areaMap(@Headers('if-none-match') known: string | undefined, @Res() reply: FastifyReply): void {
    const map = this.publisher.areaMap();
    sendUnlessKnown(reply, known, `"${map.areaMapVersion}"`, map);
  }
}

function sendUnlessKnown(reply: FastifyReply, known: string | undefined, etag: string, body: object): void {
  void reply.header('etag', etag).header('cache-control', 'no-cache');
  if (known === etag) void reply.code(304).send();
  else void reply.send(body);
}
