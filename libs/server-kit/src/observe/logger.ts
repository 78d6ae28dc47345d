import { type LoggerService } from '@nestjs/common';
import { type Logger, pino } from 'pino';

export type { Logger } from 'pino';

/**
 * One JSON line per event on standard output.
 *
 * Error = someone must act now; warn = it healed by itself or will; info = a state changed. Fields have fixed names:
 * `requestId zoneId shardId epoch tableVersion orderId moveId`.
 */
export function createLogger(app: string, level: string, fields: Readonly<Record<string, unknown>> = {}): Logger {
  return pino({ level, base: { app, ...fields }, timestamp: pino.stdTimeFunctions.isoTime });
}

/** Nest's own messages through the same logger; its start-up chatter (one line per route and module) is debug. */
export class NestLogger implements LoggerService {
  constructor(private readonly logger: Logger) {}

  log(message: unknown): void {
    this.logger.debug(String(message));
  }

  error(message: unknown, ...details: unknown[]): void {
    this.logger.error({ details }, String(message));
  }

  warn(message: unknown): void {
    this.logger.warn(String(message));
  }
}
