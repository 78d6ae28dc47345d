import { type IncomingHttpHeaders } from 'node:http';
import { Problem } from '@borough/server-kit';
import { newUuid, toId } from '@borough/topology';
import { describe, expect, it } from 'vitest';
import { readTag } from './read-tag.js';

const uuid = newUuid(7, 1_795_000_000_000, () => new Uint8Array(16));
const ORDER = toId('order', uuid);
const CUSTOMER = toId('customer', uuid);

function refusalOf(headers: IncomingHttpHeaders, pathname = '/v1/orders'): string {
  try {
    readTag(headers, pathname);
  } catch (error) {
    if (error instanceof Problem) return error.code;
    throw error;
  }
  return 'taken';
}

describe('the tag of a request', () => {
  it('is the header', () => {
    expect(readTag({ 'traffic-tag': 'shard:3' }, '/v1/orders')).toEqual({ kind: 'shard', shard: 3 });
    expect(readTag({ 'traffic-tag': 'geo:85283473fffffff' }, '/')).toEqual({ kind: 'geo', cell: '85283473fffffff' });
    expect(readTag({ 'traffic-tag': ORDER }, '/')).toEqual({ kind: 'id', id: ORDER, shard: 7 });
  });

  it('is the cookie when there is no header', () => {
    expect(readTag({ cookie: 'a=1; traffic_tag=shard:4; b=2' }, '/')).toEqual({ kind: 'shard', shard: 4 });
  });

  it('is a cookie with its colon encoded, as browsers write it', () => {
    expect(readTag({ cookie: 'traffic_tag=shard%3A4' }, '/')).toEqual({ kind: 'shard', shard: 4 });
  });

  it('is an id in the path when there is neither', () => {
    expect(readTag({}, `/v1/orders/${ORDER}`)).toEqual({ kind: 'id', id: ORDER, shard: 7 });
    expect(readTag({ cookie: 'my_traffic_tag=shard:4' }, `/v1/orders/${ORDER}`)).toMatchObject({ shard: 7 });
  });

  it('is the header and not the cookie, the cookie and not the path', () => {
    const headers = { 'traffic-tag': 'shard:1', cookie: 'traffic_tag=shard:2' };
    expect(readTag(headers, `/v1/orders/${ORDER}`)).toEqual({ kind: 'shard', shard: 1 });
    expect(readTag({ cookie: headers.cookie }, `/v1/orders/${ORDER}`)).toEqual({ kind: 'shard', shard: 2 });
  });

  it('is the first cookie of several', () => {
    expect(readTag({ cookie: 'traffic_tag=shard:1; traffic_tag=shard:2' }, '/')).toEqual({ kind: 'shard', shard: 1 });
  });
});

describe('a tag that cannot be read', () => {
  it.each([
    ['an empty header', { 'traffic-tag': '' }],
    ['a shard out of range', { 'traffic-tag': 'shard:4096' }],
    ['a header given twice', { 'traffic-tag': 'shard:1, shard:2' }],
    ["a customer's id, which carries no shard", { 'traffic-tag': CUSTOMER }],
    ['a cookie that cannot be decoded', { cookie: 'traffic_tag=%' }],
    ['an empty cookie', { cookie: 'traffic_tag=' }],
    ['a quoted cookie', { cookie: 'traffic_tag="shard:1"' }],
  ])('is never skipped for the next one: %s', (_what, headers) => {
    expect(refusalOf(headers, `/v1/orders/${ORDER}`)).toBe('malformed-tag');
  });

  it('in the header is not saved by a good cookie', () => {
    expect(refusalOf({ 'traffic-tag': 'nowhere', cookie: 'traffic_tag=shard:1' })).toBe('malformed-tag');
  });
});

describe('a request without any tag', () => {
  it.each(['/v1/orders', `/v1/customers/${CUSTOMER}/orders`, '/v1/orders/ord_nobody', '/'])(
    'is told what to send: %s',
    (pathname) => {
      expect(refusalOf({}, pathname)).toBe('tag-required');
    },
  );
});
