import { buildAreaMap, cellOfPlace, newUuid, toId } from '@borough/topology';
import { cellToChildren, cellToLatLng } from 'h3-js';
import { describe, expect, it } from 'vitest';
import { PLAIN } from '../terminal/paint.js';
import { explain, explanationLines, parseQuestion, type Explanation } from './explanation.js';

const NORTH = '851f1553fffffff';
const FINE = '8b1f1098000afff';
const AREA_MAP = buildAreaMap([
  { shard: 7, name: 'North', cells: [NORTH] },
  { shard: 9, name: 'Corner', cells: [FINE] },
  { shard: 11, name: 'Unowned', cells: [] },
]);
const ROUTING = {
  tableVersion: 40,
  areaMapVersion: 3,
  entries: [
    { shard: 7, epoch: 5, state: 'serving' as const, owner: 'a' },
    { shard: 9, epoch: 2, state: 'fenced' as const, owner: 'b', heir: 'c' },
    { shard: 300, epoch: 1, state: 'serving' as const, owner: 'c' },
  ],
};

function explained(text: string): Explanation {
  const question = parseQuestion(text);
  if (question === undefined) throw new Error(`${text} is no question`);
  return explain(question, AREA_MAP, ROUTING);
}

describe('the way of a tag', () => {
  it('of a cell names the cell of the area that holds it', () => {
    const [child = ''] = cellToChildren(NORTH, 9);
    const explanation = explained(`geo:${child}`);

    expect(explanation).toMatchObject({
      shard: 7,
      area: 'North',
      owner: 'a',
      epoch: 5,
      tableVersion: 40,
      isServed: true,
    });
    expect(explanation.why[0]).toContain(`${NORTH} (resolution 5)`);
    expect(explained(`geo:${NORTH}`).why[0]).toContain('this very cell');
  });

  it('of an id leads to the shard it carries, even when no area has that shard', () => {
    const id = toId(
      'order',
      newUuid(300, 1_700_000_000_000, () => new Uint8Array(16)),
    );
    const explanation = explained(id);

    expect(explanation).toMatchObject({ shard: 300, owner: 'c', isServed: true });
    expect(explanation).not.toHaveProperty('area');
    expect(explanation.why.join('\n')).toContain('no area has shard 300');
  });

  it('of a shard on its way says that routers hold, and who the heir is', () => {
    const explanation = explained('shard:9');

    expect(explanation).toMatchObject({ state: 'fenced', owner: 'b', heir: 'c' });
    expect(explanation.why.join('\n')).toContain('routers hold writes until zone c serves');
  });

  it('ends where nobody owns the shard', () => {
    const explanation = explained('shard:11');

    expect(explanation).toMatchObject({ shard: 11, area: 'Unowned', isServed: false });
    expect(explanation.why.join('\n')).toContain('nobody owns it');
  });

  it('ends where no area is', () => {
    for (const text of ['shard:12', 'geo:851f8d6bfffffff', '0,0']) {
      const explanation = explained(text);
      expect(explanation).toMatchObject({ isServed: false });
      expect(explanation).not.toHaveProperty('shard');
    }
  });
});

describe('a place', () => {
  it('leads where its tag leads, and the tag is told', () => {
    const [latitude, longitude] = cellToLatLng(NORTH);
    const explanation = explained(`${latitude},${longitude}`);

    expect(explanation).toMatchObject({ shard: 7, tag: `geo:${cellOfPlace(latitude, longitude) ?? ''}` });
  });

  it('of an area drawn finer than the tag’s cell has a shard and no tag', () => {
    const [latitude, longitude] = cellToLatLng(FINE);
    const explanation = explained(`${latitude},${longitude}`);

    expect(explanation).toMatchObject({ shard: 9 });
    expect(explanation).not.toHaveProperty('tag');
  });

  it.each(['91,0', '0,181', '1', 'a,b', '1,2,3', ''])('%j is none', (text) => {
    expect(parseQuestion(text)).toBeUndefined();
  });
});

it('the router of the owner is told where it is known', () => {
  const question = parseQuestion('shard:7');
  if (question === undefined) throw new Error('shard:7 is a tag');
  const known = explain(question, AREA_MAP, { ...ROUTING, routers: { a: 'http://router-a:80' } });

  expect(known.router).toBe('http://router-a:80');
  expect(explanationLines(known, PLAIN).join('\n')).toMatch(/^router +http:\/\/router-a:80$/m);
  expect(explanationLines(explained('shard:7'), PLAIN).join('\n')).toMatch(/^router +the one of zone a$/m);
});

it('the lines name a shard’s move and what each voter holds of it', () => {
  const question = parseQuestion('shard:9');
  if (question === undefined) throw new Error('shard:9 is a tag');
  const moveId = 'mov_01h455vb4pex5vsknk084sn02q';
  const copies = { a: 'fenced b@2', b: 'fenced b@2', c: 'accepted c@3' };
  const status = { shard: 9, epoch: 2, state: 'fenced' as const, owner: 'b', moveId, copies };
  const text = explanationLines(
    explain(question, AREA_MAP, ROUTING, () => status),
    PLAIN,
  ).join('\n');

  expect(text).toContain(`borough move watch ${moveId}`);
  expect(text).toContain('c: accepted c@3');
});
