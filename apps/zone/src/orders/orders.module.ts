import { Module } from '@nestjs/common';
import { IdempotencyModule } from '../idempotency/idempotency.module.js';
import { StoresModule } from '../stores/stores.module.js';
import { OrderController } from './order.controller.js';
import { OrderService } from './order.service.js';

@Module({ imports: [IdempotencyModule, StoresModule], controllers: [OrderController], providers: [OrderService] })
export class OrdersModule {}
