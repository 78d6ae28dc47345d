import { type DynamicModule, Module } from '@nestjs/common';
import { AreaController } from './ops-api/area.controller.js';
import { AreaCreation } from './ops-api/area-creation.js';
import { RoutingController } from './publish/routing.controller.js';
import { RoutingPublisher } from './publish/routing-publisher.js';

@Module({})
export class CoordinatorModule {
  static with(publisher: RoutingPublisher, creation: AreaCreation): DynamicModule {
    return {
      module: CoordinatorModule,
      controllers: [RoutingController, AreaController],
      providers: [
        { provide: RoutingPublisher, useValue: publisher },
        { provide: AreaCreation, useValue: creation },
      ],
    };
  }
}
