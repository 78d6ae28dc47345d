import { Module } from '@nestjs/common';
import { OwnershipModule } from '../ownership/ownership.module.js';
import { IdempotentWrites } from './idempotent-writes.js';

@Module({ imports: [OwnershipModule], providers: [IdempotentWrites], exports: [IdempotentWrites] })
export class WritesModule {}
