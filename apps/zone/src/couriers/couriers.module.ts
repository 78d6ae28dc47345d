import { Module } from '@nestjs/common';
import { AreasModule } from '../areas/areas.module.js';
import { WritesModule } from '../writes/writes.module.js';
import { CourierController } from './courier.controller.js';
import { CourierService } from './courier.service.js';

@Module({ imports: [AreasModule, WritesModule], controllers: [CourierController], providers: [CourierService] })
export class CouriersModule {}
