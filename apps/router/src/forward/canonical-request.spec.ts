import { IncomingMessage } from 'node:http';
import { Socket } from 'node:net';
import { Problem } from '@borough/server-kit';
import { describe, expect, it } from 'vitest';
import { type CanonicalRequest, canonicalRequest } from './canonical-request.js';

/** What Node's parser calls to fill a message in: it joins repeated headers, or keeps the first, as in a real request. */
interface Parsed extends IncomingMessage {
  _addHeaderLines(rawHeaders: readonly string[], length: number): void;
}

function received(method: string, url: string, rawHeaders: string[] = []): IncomingMessage {
  const message = new IncomingMessage(new Socket()) as Parsed;
  message.method = method;
  message.url = url;
  message.rawHeaders = rawHeaders;
  message._addHeaderLines(rawHeaders, rawHeaders.length);
  return message;
}

function refusalOf(message: IncomingMessage): string {
  try {
    canonicalRequest(message);
  } catch (error) {
    if (error instanceof Problem && error.code === 'malformed-request') return error.facts.detail ?? '';
    throw error;
  }
  return 'taken';
}

function headersFrom(...rawHeaders: string[]): CanonicalRequest['headers'] {
  return canonicalRequest(received('POST', '/v1/orders', rawHeaders)).headers;
}

describe('the path', () => {
  it.each([
    ['/v1/orders', '/v1/orders'],
    ['/v1/orders?limit=2', '/v1/orders'],
    ['/v1/orders?to=//x/../y%2f', '/v1/orders'],
    ['/v1/stores/a.b..c', '/v1/stores/a.b..c'],
    ['/v1/caf%C3%A9', '/v1/caf%C3%A9'],
    ['/v1/orders/', '/v1/orders/'],
    ['/v1/orders?', '/v1/orders'],
  ])('is taken as it is: %s', (target, pathname) => {
    expect(canonicalRequest(received('GET', target))).toMatchObject({ target, pathname });
  });

  it.each([
    ['absolute form', 'http://router/v1/orders'],
    ['authority form', 'router:80'],
    ['asterisk form', '*'],
    ['no path', ''],
    ['a query alone', '?limit=2'],
    ['dot segments', '/v1/stores/../orders'],
    ['a dot segment at the end', '/v1/orders/..'],
    ['a single dot segment', '/v1/./orders'],
    ['encoded dots', '/v1/stores/%2e%2E/orders'],
    ['half-encoded dots', '/v1/stores/.%2e/orders'],
    ['an encoded slash', '/v1/stores%2forders'],
    ['an encoded slash in upper case', '/v1/stores%2Forders'],
    ['doubled slashes', '/v1//orders'],
    ['doubled slashes at the start', '//v1/orders'],
    ['a backslash', '/v1\\orders'],
    ['an encoded backslash', '/v1%5Corders'],
    ['an encoded NUL', '/v1/orders%00'],
    ['a fragment, which the zone would cut off', '/v1/orders/x#/ord_01h455vb4pex5vsknk084sn02q'],
    ['a fragment after the query', '/v1/orders?a=1#b'],
  ])('that two readers could understand differently is refused: %s', (_what, target) => {
    expect(refusalOf(received('GET', target))).toMatch(/path/);
  });
});

describe('a header that decides something', () => {
  it.each(['Authorization', 'Content-Type', 'Host', 'Idempotency-Key', 'Request-Id', 'Traffic-Tag', 'Content-Length'])(
    'is refused when given twice, however it is spelt: %s',
    (name) => {
      const twice = received('POST', '/v1/orders', [name, '1', 'accept', '*/*', name.toUpperCase(), '1']);
      expect(refusalOf(twice)).toBe(`The header ${name.toLowerCase()} is given twice.`);
    },
  );

  it('of another kind may be given twice, and goes on as one', () => {
    expect(headersFrom('Accept-Language', 'nl', 'Accept-Language', 'en')).toEqual({ 'accept-language': 'nl, en' });
  });
});

describe('of the headers', () => {
  it('what the zone needs goes on unchanged', () => {
    const raw = ['Content-Type', 'application/json', 'Idempotency-Key', 'k-1', 'Accept', '*/*', 'Cookie', 'a=1'];
    expect(headersFrom(...raw)).toEqual({
      'content-type': 'application/json',
      'idempotency-key': 'k-1',
      accept: '*/*',
      cookie: 'a=1',
    });
  });

  it.each([
    'Borough-Shard',
    'BOROUGH-EPOCH',
    'borough-anything',
    'X-Forwarded-For',
    'x-forwarded-host',
    'borough_shard',
    'x_forwarded_for',
  ])('what only a router may say is dropped: %s', (name) => {
    expect(headersFrom(name, '1', 'accept', '*/*')).toEqual({ accept: '*/*' });
  });

  it.each([
    'Connection',
    'Content-Length',
    'Expect',
    'Host',
    'Keep-Alive',
    'Proxy-Authorization',
    'Proxy-Connection',
    'TE',
    'Trailer',
    'Transfer-Encoding',
    'Upgrade',
  ])('what belongs to one connection stays here: %s', (name) => {
    expect(headersFrom(name, '0', 'accept', '*/*')).toEqual({ accept: '*/*' });
  });

  it('what Connection names stays here too', () => {
    const headers = headersFrom('Connection', 'close, X-Hop ,x-other', 'x-hop', '1', 'X-Other', '2', 'x-end', '3');
    expect(headers).toEqual({ 'x-end': '3' });
  });
});

describe('a body', () => {
  it.each(['GET', 'HEAD'])('does not go with %s', (method) => {
    expect(refusalOf(received(method, '/v1/orders', ['content-length', '2']))).toMatch(/has no body/);
    expect(refusalOf(received(method, '/v1/orders', ['transfer-encoding', 'chunked']))).toMatch(/has no body/);
  });

  it.each(['GET', 'HEAD'])('of no length is no body of %s', (method) => {
    expect(refusalOf(received(method, '/v1/orders', ['content-length', '0']))).toBe('taken');
  });

  it('goes with a write', () => {
    expect(refusalOf(received('POST', '/v1/orders', ['content-length', '2']))).toBe('taken');
  });
});
