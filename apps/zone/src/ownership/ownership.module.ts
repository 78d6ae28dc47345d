import { Module } from '@nestjs/common';
import { OwnedTransactions } from './owned-transactions.js';

@Module({ providers: [OwnedTransactions], exports: [OwnedTransactions] })
export class OwnershipModule {}
