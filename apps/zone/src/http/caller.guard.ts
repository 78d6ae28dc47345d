import { type CanActivate, type ExecutionContext, Injectable } from '@nestjs/common';
import { type FastifyRequest } from 'fastify';

declare module 'fastify' {
  interface FastifyRequest {
    /** Who asks; part of the scope of an Idempotency-Key. */
    caller: string;
  }
}

/**
 * The one place where a caller is told from another.
 *
 * Tokens are not built yet, so everybody is `anonymous` and every process listens on loopback only. When they come,
 * they are checked here and nowhere else; routes that name a customer or a courier then compare with `caller`.
 */
@Injectable()
export class CallerGuard implements CanActivate {
  canActivate(context: ExecutionContext): boolean {
    context.switchToHttp().getRequest<FastifyRequest>().caller = 'anonymous';
    return true;
  }
}
