import { Module } from '@nestjs/common';
import { WritesModule } from '../writes/writes.module.js';
import { StoresModule } from '../stores/stores.module.js';
import { OrderController } from './order.controller.js';
import { OrderService } from './order.service.js';

@Module({ imports: [WritesModule, StoresModule], controllers: [OrderController], providers: [OrderService] })
export class OrdersModule {}
