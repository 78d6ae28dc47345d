import { type CallHandler, type ExecutionContext, type NestInterceptor } from '@nestjs/common';
import { type FastifyRequest } from 'fastify';
import { type Observable, throwError, timeout } from 'rxjs';
import { Problem } from '../problem/problem.js';

/**
 * Answers every request within a bound. PostgreSQL puts none on a commit that waits for other zones, and cancelling
 * one would report success; so the commit is left to end by itself and the caller is told that the outcome is unknown.
 */
export class DeadlineInterceptor implements NestInterceptor {
  constructor(private readonly deadlineMs: number) {}

  intercept(context: ExecutionContext, next: CallHandler): Observable<unknown> {
    const { method } = context.switchToHttp().getRequest<FastifyRequest>();
    return next.handle().pipe(timeout({ each: this.deadlineMs, with: () => throwError(() => late(method)) }));
  }
}

function late(method: string): Problem {
  return method === 'GET' || method === 'HEAD'
    ? new Problem('overloaded', { retryAfterSeconds: 1 })
    : new Problem('outcome-unknown', { detail: 'Send it again with the same Idempotency-Key.', retryAfterSeconds: 1 });
}
