/** Tag → shard → zone, and why: the same rules as a router's, told step by step. */
import { type RoutingSnapshot, type ShardStatus } from '@borough/contracts';
import {
  areaOfShard,
  cellOfPlace,
  parseTrafficTag,
  resolveTag,
  shardOfPlace,
  type AreaMap,
  type TrafficTag,
} from '@borough/topology';
import { cellToParent, getResolution } from 'h3-js';
import { type Paint } from '../terminal/paint.js';
import { copiesWords } from './shards-lines.js';

/** What a person may ask about: a tag, or a place in degrees. */
export type Question =
  | { readonly kind: 'tag'; readonly text: string; readonly tag: TrafficTag }
  | { readonly kind: 'place'; readonly text: string; readonly latitude: number; readonly longitude: number };

/** The answer; also the document of `--json`. What is absent is not known, or nobody serves it. */
export interface Explanation {
  readonly asked: string;
  /** The traffic tag to send; absent for a place whose cell is no tag that leads there. */
  readonly tag?: string;
  readonly shard?: number;
  readonly area?: string;
  readonly owner?: string;
  readonly heir?: string;
  readonly state?: 'serving' | 'moving' | 'fenced';
  readonly epoch?: number;
  readonly moveId?: string;
  /** What each voter holds, while it is not the same everywhere or the shard moves. */
  readonly copies?: Readonly<Record<string, string>>;
  readonly tableVersion: number;
  readonly areaMapVersion: number;
  /** Address of the owner zone's router, where the coordinator knows it. */
  readonly router?: string;
  /** Whether a request with this tag would be served. */
  readonly isServed: boolean;
  /** Each step of the way from the tag to the zone, in words. */
  readonly why: readonly string[];
}

const PLACE_PATTERN = /^([+-]?\d+(?:\.\d+)?)\s*,\s*([+-]?\d+(?:\.\d+)?)$/;

/** Reads what was asked; undefined when it is neither a tag nor a place. A customer's id is neither: it lives in no shard. */
export function parseQuestion(text: string): Question | undefined {
  const place = PLACE_PATTERN.exec(text);
  if (place !== null) {
    const [latitude, longitude] = [Number(place[1]), Number(place[2])];
    return cellOfPlace(latitude, longitude) === undefined ? undefined : { kind: 'place', text, latitude, longitude };
  }
  const tag = parseTrafficTag(text);
  return tag === undefined ? undefined : { kind: 'tag', text, tag };
}

/** @param status of the shard, where a coordinator told it: adds its move and its copies */
export function explain(
  question: Question,
  areaMap: AreaMap,
  routing: RoutingSnapshot,
  status: (shard: number) => ShardStatus | undefined = () => undefined,
): Explanation {
  const { tableVersion, areaMapVersion } = routing;
  const found = shardOf(question, areaMap);
  const tag = tagOf(question, found.shard, areaMap);
  const known = { asked: question.text, ...(tag === undefined ? {} : { tag }), tableVersion, areaMapVersion };
  const { shard } = found;
  if (shard === undefined) return { ...known, isServed: false, why: found.why };

  const area = areaOfShard(areaMap, shard)?.name;
  const areaStep =
    area === undefined
      ? `no area has shard ${shard}, so only ids lead to it`
      : `shard ${shard} delivers in the area ${area}`;
  const entry = routing.entries.find((candidate) => candidate.shard === shard);
  const placed = { ...known, shard, ...(area === undefined ? {} : { area }) };
  if (entry === undefined) {
    const why = [
      ...found.why,
      areaStep,
      `routing table ${tableVersion} has no entry for shard ${shard}: nobody owns it`,
    ];
    return { ...placed, isServed: false, why };
  }

  const { owner, heir, state, epoch } = entry;
  const seen = status(shard);
  const router = routing.routers?.[owner];
  return {
    ...placed,
    owner,
    ...(heir === undefined ? {} : { heir }),
    state,
    epoch,
    ...(seen?.moveId === undefined ? {} : { moveId: seen.moveId }),
    ...(seen === undefined ? {} : { copies: seen.copies }),
    ...(router === undefined ? {} : { router }),
    isServed: true,
    why: [
      ...found.why,
      areaStep,
      `routing table ${tableVersion} says: zone ${owner} owns it at epoch ${epoch}, ${state}`,
      stateStep(state, owner, heir),
      router === undefined
        ? `any router forwards it to zone ${owner}; the one in zone ${owner} saves a hop`
        : `the router of zone ${owner} is ${router}; any other one forwards to it`,
    ],
  };
}

/** The explanation for people. */
export function explanationLines(explanation: Explanation, paint: Paint): string[] {
  const { asked, tag, shard, area, owner, heir, state, epoch, moveId, copies, tableVersion, router, why } = explanation;
  const facts: [string, string | undefined][] = [
    ['asked', asked],
    ['tag', tag],
    ['shard', shard === undefined ? paint.red('none: nobody delivers there') : `${shard}`],
    ['area', area],
    ['owner', owner === undefined ? paint.red('nobody') : `zone ${owner}`],
    ['heir', heir === undefined ? undefined : `zone ${heir}`],
    ['state', state === undefined || state === 'serving' ? state : paint.yellow(state)],
    ['epoch', epoch?.toString()],
    ['move', moveId],
    ['copies', copies === undefined ? undefined : copiesWords(copies)],
    ['table', `version ${tableVersion}`],
    ['router', router ?? (owner === undefined ? undefined : `the one of zone ${owner}`)],
  ];
  return [
    ...facts.flatMap(([name, value]) => (value === undefined ? [] : [`${paint.bold(name.padEnd(7))} ${value}`])),
    '',
    'Why',
    ...why.map((step, index) => `  ${index + 1}. ${step}`),
    ...(moveId === undefined ? [] : ['', `Follow its move:  borough move watch ${moveId}`]),
  ];
}

function shardOf(question: Question, areaMap: AreaMap): { shard?: number; why: string[] } {
  if (question.kind === 'place') {
    const { latitude, longitude } = question;
    const cell = cellOfPlace(latitude, longitude) ?? '';
    const step = `the place lies in the H3 cell ${cell} (resolution ${getResolution(cell)})`;
    const shard = shardOfPlace(areaMap, latitude, longitude);
    return shard === undefined
      ? { why: [step, notCovered(cell)] }
      : { shard, why: [step, cellStep(cell, shard, areaMap)] };
  }
  const { tag } = question;
  const shard = resolveTag(tag, areaMap);
  switch (tag.kind) {
    case 'id':
      return { shard: tag.shard, why: [`the id carries shard ${tag.shard}, for ever`] };
    case 'shard':
      return shard === undefined
        ? { why: [`no area has shard ${tag.shard}, so this tag is not served`] }
        : { shard, why: ['the tag names the shard itself'] };
    case 'geo':
      return shard === undefined
        ? { why: [notCovered(tag.cell)] }
        : { shard, why: [cellStep(tag.cell, shard, areaMap)] };
  }
}

function tagOf(question: Question, shard: number | undefined, areaMap: AreaMap): string | undefined {
  if (question.kind === 'tag') return question.text;
  const cell = cellOfPlace(question.latitude, question.longitude);
  if (cell === undefined) return undefined;
  const tag = parseTrafficTag(`geo:${cell}`);
  const isSame = tag !== undefined && resolveTag(tag, areaMap) === shard;
  // Where areas are drawn finer than the cell of a place, that cell alone does not lead to the shard.
  return isSame ? `geo:${cell}` : undefined;
}

function cellStep(cell: string, shard: number, areaMap: AreaMap): string {
  const holder = holderOf(cell, areaMap);
  if (holder === cell) return `shard ${shard} has this very cell`;
  if (holder === undefined) return `shard ${shard} has a finer cell around the place`;
  return `shard ${shard} has the cell ${holder} (resolution ${getResolution(holder)}), which holds it`;
}

/** The cell of an area that is this cell or an ancestor of it. */
function holderOf(cell: string, areaMap: AreaMap): string | undefined {
  const own = getResolution(cell);
  return areaMap.resolutions
    .filter((resolution) => resolution <= own)
    .map((resolution) => cellToParent(cell, resolution))
    .find((ancestor) => areaMap.shardByCell.has(ancestor));
}

function notCovered(cell: string): string {
  return `no area has the cell ${cell} or one that holds it: a request gets 404 area-not-served`;
}

function stateStep(state: Explanation['state'], owner: string, heir: string | undefined): string {
  switch (state) {
    case 'moving':
      return `it moves to zone ${heir ?? '?'}: routers hold new writes for a moment, reads go on at zone ${owner}`;
    case 'fenced':
      return `zone ${owner} is fenced: routers hold writes until zone ${heir ?? '?'} serves, reads go on`;
    case 'serving':
    case undefined:
      return `zone ${owner} answers reads and writes`;
  }
}
