import { Module } from '@nestjs/common';
import { AreasModule } from '../areas/areas.module.js';
import { IdempotencyModule } from '../idempotency/idempotency.module.js';
import { CourierController } from './courier.controller.js';
import { CourierService } from './courier.service.js';

@Module({ imports: [AreasModule, IdempotencyModule], controllers: [CourierController], providers: [CourierService] })
export class CouriersModule {}
