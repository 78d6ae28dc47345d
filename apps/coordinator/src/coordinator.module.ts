import { type DynamicModule, Module } from '@nestjs/common';
import { Moves } from './moves/moves.js';
import { AreaController } from './ops-api/area.controller.js';
import { AreaCreation } from './ops-api/area-creation.js';
import { ClusterStatus } from './ops-api/cluster-status.js';
import { MoveController } from './ops-api/move.controller.js';
import { StatusController } from './ops-api/status.controller.js';
import { RoutingController } from './publish/routing.controller.js';
import { RoutingPublisher } from './publish/routing-publisher.js';
import { Leadership } from './voters/leadership.js';

export interface CoordinatorParts {
  readonly publisher: RoutingPublisher;
  readonly creation: AreaCreation;
  readonly moves: Moves;
  readonly leadership: Leadership;
  readonly status: ClusterStatus;
}

@Module({})
export class CoordinatorModule {
  static with({ publisher, creation, moves, leadership, status }: CoordinatorParts): DynamicModule {
    return {
      module: CoordinatorModule,
      controllers: [RoutingController, AreaController, MoveController, StatusController],
      providers: [
        { provide: RoutingPublisher, useValue: publisher },
        { provide: AreaCreation, useValue: creation },
        { provide: Moves, useValue: moves },
        { provide: Leadership, useValue: leadership },
        { provide: ClusterStatus, useValue: status },
      ],
    };
  }
}
