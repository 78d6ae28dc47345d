import { describe, expect, it } from 'vitest';
import { type RouteContract } from './http/route.js';
import * as contracts from './index.js';
import { type ProblemCode, type ProblemKind, PROBLEMS, type RetryRule } from './problem.js';

/** What a status says about the request decides what a caller may do; a new status does not pass until it stands here. */
const RULES_OF_STATUS: Readonly<Record<number, readonly RetryRule[]>> = {
  // The request itself is wrong: sending it again cannot help.
  400: ['never'],
  404: ['never'],
  413: ['never'],
  415: ['never'],
  422: ['never'],
  // The state of things refuses: which state decides.
  409: ['never', 'refresh-routing-then-retry', 'same-request-later'],
  421: ['refresh-routing-then-retry'],
  423: ['same-request-later'],
  // Our fault, or not yet known: never final.
  500: ['same-request-later'],
  503: ['same-request-later'],
  504: ['same-request-later'],
};

const TABLE = Object.entries(PROBLEMS) as [ProblemCode, ProblemKind][];

describe('every problem', () => {
  it('has a code in kebab-case, as the end of a URI', () => {
    expect(TABLE.map(([code]) => code).filter((code) => !/^[a-z]+(?:-[a-z]+)*$/.test(code))).toEqual([]);
  });

  it('has a title that is one plain sentence, said by no other', () => {
    const titles = TABLE.map(([, { title }]) => title);
    expect(titles.filter((title) => !/^[A-Z].*[^.!?]$/.test(title))).toEqual([]);
    expect(new Set(titles).size).toBe(titles.length);
  });

  it.each(TABLE)('may be retried as its status allows: %s', (_code, { status, retry }) => {
    expect(RULES_OF_STATUS[status]).toContain(retry);
  });

  it('of our own making may be tried again', () => {
    const final = TABLE.filter(([, { status, retry }]) => status >= 500 && retry === 'never');
    expect(final).toEqual([]);
  });
});

it('only a wrong or stale owner sends the caller to the routing table', () => {
  const codes = TABLE.filter(([, { retry }]) => retry === 'refresh-routing-then-retry').map(([code]) => code);
  expect(codes.toSorted()).toEqual(['stale-epoch', 'wrong-zone']);
});

const ROUTES: Readonly<Record<string, RouteContract>> = Object.fromEntries(
  Object.entries(contracts).flatMap(([name, value]) =>
    typeof value === 'object' && 'problems' in value && 'path' in value ? [[name, value]] : [],
  ),
);

const OF_BODIES: ProblemCode[] = [
  'malformed-json',
  'body-too-deep',
  'body-too-large',
  'unsupported-media-type',
  'validation-failed',
];

it('the routes are found by their shape', () => {
  expect(Object.keys(ROUTES)).toEqual(expect.arrayContaining(['placeOrder', 'getStore', 'createArea', 'getRouting']));
});

describe.each(Object.entries(ROUTES))('the route %s', (_name, route) => {
  it('names each of its problems once, and those of a body just when it takes one', () => {
    expect(new Set(route.problems).size).toBe(route.problems.length);
    expect(OF_BODIES.filter((code) => route.problems.includes(code))).toEqual(
      route.body === undefined ? [] : OF_BODIES,
    );
  });

  it('asks for an Idempotency-Key just when it is a write of an area', () => {
    expect(route.problems.includes('idempotency-key-required')).toBe(route.isTagged && route.method === 'post');
  });

  it('has a parameter for each name in its path', () => {
    const names = [...route.path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
    expect(Object.keys(route.params?.shape ?? {})).toEqual(names);
  });
});
