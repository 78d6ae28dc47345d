import { Module } from '@nestjs/common';
import { ConfirmedStatements } from './confirmed-statements.js';

@Module({ providers: [ConfirmedStatements], exports: [ConfirmedStatements] })
export class OwnershipModule {}
