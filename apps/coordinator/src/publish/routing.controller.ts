import { createHash } from 'node:crypto';
import { Controller, Get, Headers, Inject, Res } from '@nestjs/common';
import { type FastifyReply } from 'fastify';
import { RoutingPublisher } from './routing-publisher.js';

/** Snapshots for routers: whoever missed a notice, or starts, fetches them. */
@Controller('v1')
export class RoutingController {
  constructor(@Inject(RoutingPublisher) private readonly publisher: RoutingPublisher) {}

  @Get('routing')
  routing(@Headers('if-none-match') known: string | undefined, @Res() reply: FastifyReply): void {
    sendUnlessKnown(reply, known, this.publisher.snapshot());
  }

  @Get('area-map')
  areaMap(@Headers('if-none-match') known: string | undefined, @Res() reply: FastifyReply): void {
    sendUnlessKnown(reply, known, this.publisher.areaMap());
  }
}

interface Encoded {
  readonly text: string;
  readonly etag: string;
}

/** By the object it is the text of: routers poll many times between two changes. */
const encodings = new WeakMap<object, Encoded>();

function sendUnlessKnown(reply: FastifyReply, known: string | undefined, body: object): void {
  const encoded = encodings.get(body) ?? encode(body);
  encodings.set(body, encoded);
  void reply.header('etag', encoded.etag).header('cache-control', 'no-cache');
  if (known === encoded.etag) void reply.code(304).send();
  else void reply.header('content-type', 'application/json; charset=utf-8').send(encoded.text);
}

/** The tag is a digest of the content: two coordinators may hold different tables of one version (SPEC.md, section 7). */
function encode(body: object): Encoded {
  const text = JSON.stringify(body);
  return { text, etag: `"${createHash('sha256').update(text).digest('base64url')}"` };
}
