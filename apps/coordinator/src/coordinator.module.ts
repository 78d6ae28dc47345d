import { type DynamicModule, Module } from '@nestjs/common';
import { Moves } from './moves/moves.js';
import { AreaController } from './ops-api/area.controller.js';
import { AreaCreation } from './ops-api/area-creation.js';
import { Audits } from './ops-api/audits.js';
import { AuditsController } from './ops-api/audits.controller.js';
import { ClusterStatus } from './ops-api/cluster-status.js';
import { HeldOrders } from './ops-api/held-orders.js';
import { HeldOrdersController } from './ops-api/held-orders.controller.js';
import { MoveController } from './ops-api/move.controller.js';
import { Receipts } from './ops-api/receipts.js';
import { ReceiptsController } from './ops-api/receipts.controller.js';
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
  readonly heldOrders: HeldOrders;
  readonly receipts: Receipts;
  readonly audits: Audits;
}

@Module({})
export class CoordinatorModule {
  static with({
    publisher,
    creation,
    moves,
    leadership,
    status,
    heldOrders,
    receipts,
    audits,
  }: CoordinatorParts): DynamicModule {
    return {
      module: CoordinatorModule,
      controllers: [
        RoutingController,
        AreaController,
        MoveController,
        StatusController,
        HeldOrdersController,
        ReceiptsController,
        AuditsController,
      ],
      providers: [
        { provide: RoutingPublisher, useValue: publisher },
        { provide: AreaCreation, useValue: creation },
        { provide: Moves, useValue: moves },
        { provide: Leadership, useValue: leadership },
        { provide: ClusterStatus, useValue: status },
        { provide: HeldOrders, useValue: heldOrders },
        { provide: Receipts, useValue: receipts },
        { provide: Audits, useValue: audits },
      ],
    };
  }
}
