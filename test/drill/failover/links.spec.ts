import { expect, it } from 'vitest';
import { planPorts } from '../../../infra/local/ports.js';
import { anyOf, betweenZones, changesOf, fromCoordinators, linksOf, type Links, ofZone } from './links.js';

const ALL = linksOf(planPorts(14_000, ['a', 'b', 'c'], 2, 2));

function named(links: Links): string[] {
  return ALL.filter(links).map(({ from, to }) => `${from} → ${to}`);
}

it('links go from zones to the databases of others, from coordinators and from routers to every zone', () => {
  expect(ALL).toHaveLength(6 + 2 * 6 + 2 * 3);
  expect(ALL).toContainEqual({ from: 'zone-a', to: 'postgres-c', port: 14_031 });
  expect(ALL).toContainEqual({ from: 'coordinator-2', to: 'postgres-a', port: 14_011 });
  expect(ALL).toContainEqual({ from: 'coordinator', to: 'zone-b', port: 14_020 });
  expect(ALL).toContainEqual({ from: 'router-2', to: 'zone-a', port: 14_010 });
});

it('a zone that is cut off keeps nothing but its links to routers', () => {
  const cut = named(anyOf(ofZone('a'), fromCoordinators('a')));
  expect(cut.sort()).toEqual([
    'coordinator → postgres-a',
    'coordinator → zone-a',
    'coordinator-2 → postgres-a',
    'coordinator-2 → zone-a',
    'zone-a → postgres-b',
    'zone-a → postgres-c',
    'zone-b → postgres-a',
    'zone-c → postgres-a',
  ]);
});

it('the changes of a zone go to another where that one connects', () => {
  expect(named(changesOf('a', 'b'))).toEqual(['zone-b → postgres-a']);
  expect(named(betweenZones('a', 'b')).sort()).toEqual(['zone-a → postgres-b', 'zone-b → postgres-a']);
});
