import {
  createArea,
  getAreaMap,
  getCourier,
  getOrder,
  getRouting,
  getStore,
  listCustomerOrders,
  openStore,
  placeOrder,
  PROBLEMS,
  registerCourier,
  type RouteContract,
} from '@borough/contracts';
import { describe, expect, it } from 'vitest';
import { openApiDocument } from './openapi.js';

interface Parameter {
  name: string;
  in: 'header' | 'path' | 'query';
  required?: boolean;
}

interface Operation {
  operationId: string;
  parameters?: Parameter[];
  requestBody?: { required: boolean; content: Record<string, { schema: { type?: string; properties?: object } }> };
  responses: Record<string, { description: string; content: Record<string, unknown> }>;
}

interface Document {
  openapi: string;
  info: { title: string; version: string };
  paths: Record<string, Partial<Record<'get' | 'post', Operation>>>;
}

const ROUTES: readonly RouteContract[] = [
  placeOrder,
  getOrder,
  listCustomerOrders,
  openStore,
  getStore,
  registerCourier,
  getCourier,
  getRouting,
  getAreaMap,
  createArea,
];

const document = openApiDocument('Borough', '0.1.0', ROUTES) as Document;

function operationOf({ method, path }: RouteContract): Operation {
  const operation = document.paths[path]?.[method];
  if (operation === undefined) throw new Error(`${method} ${path} is not in the document`);
  return operation;
}

/** Whether each header is required, by name. */
function headersOf(route: RouteContract): Record<string, boolean> {
  const headers = operationOf(route).parameters?.filter((parameter) => parameter.in === 'header') ?? [];
  return Object.fromEntries(headers.map(({ name, required }) => [name, required === true]));
}

it('the document is OpenAPI 3.1 and can be written as JSON', () => {
  expect(document.openapi).toBe('3.1.0');
  expect(document.info).toMatchObject({ title: 'Borough', version: '0.1.0' });
  expect(JSON.parse(JSON.stringify(document))).toEqual(document);
});

it('every operation has an id of its own', () => {
  const ids = ROUTES.map((route) => operationOf(route).operationId);
  expect(new Set(ids).size).toBe(ROUTES.length);
});

describe.each(ROUTES.map((route) => [`${route.method} ${route.path}`, route] as const))('%s', (_name, route) => {
  const { responses, parameters, requestBody } = operationOf(route);

  it('documents every problem it can answer with, under its status', () => {
    const missing = route.problems.filter((code) => {
      const answer = responses[String(PROBLEMS[code].status)];
      return answer?.description.includes(`\`${code}\``) !== true || !('application/problem+json' in answer.content);
    });
    expect(missing).toEqual([]);
  });

  it('documents every good answer, and no status that it never gives', () => {
    const good = Object.keys(route.answers);
    const problems = route.problems.map((code) => String(PROBLEMS[code].status));
    expect(Object.keys(responses).toSorted()).toEqual([...new Set([...good, ...problems])].toSorted());
  });

  it('documents the body it needs and the names in its path', () => {
    expect(requestBody?.required).toBe(route.body === undefined ? undefined : true);
    expect(Object.keys(requestBody?.content ?? {})).toEqual(route.body === undefined ? [] : ['application/json']);
    const inPath = parameters?.filter((parameter) => parameter.in === 'path').map(({ name }) => name) ?? [];
    expect(inPath).toEqual(Object.keys(route.params?.shape ?? {}));
  });
});

describe('the headers', () => {
  it('of a write are the tag and the key, both required', () => {
    for (const route of [placeOrder, openStore, registerCourier]) {
      expect(headersOf(route)).toEqual({ 'traffic-tag': true, 'idempotency-key': true });
    }
  });

  it('of a read by an id that carries its shard are the tag, which may be left out', () => {
    for (const route of [getOrder, getStore, getCourier]) expect(headersOf(route)).toEqual({ 'traffic-tag': false });
  });

  it("of a read by a customer's id, which carries none, are the tag, required", () => {
    expect(headersOf(listCustomerOrders)).toEqual({ 'traffic-tag': true });
  });

  it('of a route without a tag are none', () => {
    for (const route of [getRouting, getAreaMap, createArea]) expect(headersOf(route)).toEqual({});
  });
});

it('a query is documented with its bounds', () => {
  const names = operationOf(listCustomerOrders).parameters?.filter((parameter) => parameter.in === 'query');
  expect(names).toMatchObject([
    { name: 'limit', required: false, schema: { type: 'integer', minimum: 1, maximum: 100, default: 20 } },
    { name: 'cursor', required: false, schema: { type: 'string', maxLength: 200 } },
  ]);
});
