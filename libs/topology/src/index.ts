/** The words and rules of zones, shards and tags: pure functions, no I/O. SPEC.md beside this folder has the promises. */
export { ZONE_ID_PATTERN, type ZoneId } from './zone-id.js';
export {
  ID_LENGTH,
  ID_PREFIXES,
  isShardNumber,
  newUuid,
  parseId,
  SHARD_COUNT,
  shardOfUuid,
  toId,
  type IdKind,
  type ParsedId,
  type ShardNumber,
} from './ids.js';
export {
  areaOfShard,
  buildAreaMap,
  cellOfPlace,
  isCell,
  overlappingArea,
  PLACE_RESOLUTION,
  shardOfCell,
  shardOfPlace,
  type Area,
  type AreaMap,
} from './area-map.js';
export { parseTrafficTag, resolveTag, tagOfPath, type TrafficTag } from './traffic-tag.js';
export {
  compareTerms,
  FIRST_EPOCH,
  next,
  stateOfRow,
  type Epoch,
  type Fence,
  type Fenced,
  type Install,
  type IntendMove,
  type MoveId,
  type Moving,
  type OwnershipRow,
  type Serving,
  type ShardEvent,
  type ShardState,
  type StoredState,
  type Term,
} from './shard-state.js';
export {
  adoptedOwnership,
  laggingVoters,
  majority,
  mayServe,
  type AdoptedOwnership,
  type Proposal,
  type VoterCopy,
} from './ownership.js';
export { nextHandoverStep, type HandoverShard, type HandoverStep } from './handover.js';
export {
  adoptedRecord,
  changeRecord,
  nextAddStep,
  nextDropStep,
  settingCovers,
  type AddFacts,
  type InSyncChange,
  type InSyncCopy,
  type InSyncRecord,
  type InSyncStep,
  type InSyncVersion,
} from './in-sync-record.js';
export {
  InSyncRegister,
  InSyncRegisterFault,
  type InSyncOutcome,
  type InSyncPromise,
  type InSyncVoter,
} from './in-sync-register.js';
export {
  chooseHeir,
  handoverBlockers,
  zonesToApplyTheCut,
  type HandoverBlocker,
  type HandoverFacts,
  type SealedZone,
} from './heir.js';
export { mayThawOwner, nextRejoinStep, type RejoinFacts, type RejoinStep } from './rejoin.js';
export {
  compareStamps,
  judgeHealing,
  judgeIncoming,
  type ApplyVerdict,
  type HealedRow,
  type HealingVerdict,
  type IncomingRow,
  type RowStamp,
} from './apply-guard.js';
export {
  compareEntries,
  emptyTable,
  entryOfRow,
  hasGap,
  merge,
  STATE_RANKS,
  tableOf,
  tableVersionOf,
  type RoutingEntry,
  type RoutingState,
  type RoutingTable,
} from './routing-table.js';
