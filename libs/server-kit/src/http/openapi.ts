import { OpenApiGeneratorV31, OpenAPIRegistry } from '@asteasolutions/zod-to-openapi';
import {
  IDEMPOTENCY_KEY_HEADER,
  PROBLEM_MEDIA_TYPE,
  problemDocument,
  PROBLEMS,
  type RouteContract,
  TRAFFIC_TAG_HEADER,
} from '@borough/contracts';
import { z } from 'zod';

/**
 * The OpenAPI 3.1 document of a process, made from the same contracts its controllers check with.
 *
 * @param routes every route the process answers under `/v1` or `/ops`
 */
export function openApiDocument(title: string, version: string, routes: readonly RouteContract[]): object {
  const registry = new OpenAPIRegistry();
  for (const route of routes) {
    registry.registerPath({
      method: route.method,
      path: route.path,
      summary: route.summary,
      operationId: operationId(route),
      request: {
        ...(route.params === undefined ? {} : { params: route.params }),
        ...(route.query === undefined ? {} : { query: route.query }),
        ...(headersOf(route) === undefined ? {} : { headers: headersOf(route) }),
        ...(route.body === undefined
          ? {}
          : { body: { required: true, content: { 'application/json': { schema: route.body } } } }),
      },
      responses: { ...answersOf(route), ...problemsOf(route) },
    });
  }
  return new OpenApiGeneratorV31(registry.definitions).generateDocument({
    openapi: '3.1.0',
    info: { title, version, license: { name: 'Apache-2.0', identifier: 'Apache-2.0' } },
  });
}

function operationId(route: RouteContract): string {
  const words = route.path.split('/').filter((word) => word !== '' && word !== 'v1');
  return [route.method, ...words.map((word) => word.replace(/[{}]/g, ''))].join('-');
}

function headersOf(route: RouteContract): z.ZodObject | undefined {
  const shape: Record<string, z.ZodType> = {};
  if (route.isTagged) {
    const tag = z.string().describe('geo:<H3 cell>, shard:<number>, or an id of ours');
    const pathNamesArea = route.method === 'get' && /\{(orderId|storeId|courierId)\}/.test(route.path);
    shape[TRAFFIC_TAG_HEADER] = pathNamesArea ? tag.optional() : tag;
  }
  if (route.isTagged && route.method === 'post') shape[IDEMPOTENCY_KEY_HEADER] = z.string().min(1).max(255);
  return Object.keys(shape).length === 0 ? undefined : z.object(shape);
}

function answersOf(route: RouteContract): Record<string, { description: string; content: object }> {
  return Object.fromEntries(
    Object.entries(route.answers).map(([status, answer]) => [
      status,
      { description: answer.description, content: { 'application/json': { schema: answer.body } } },
    ]),
  );
}

function problemsOf(route: RouteContract): Record<string, { description: string; content: object }> {
  const byStatus = new Map<number, string[]>();
  for (const code of route.problems) {
    const { status, title } = PROBLEMS[code];
    byStatus.set(status, [...(byStatus.get(status) ?? []), `\`${code}\`: ${title}.`]);
  }
  return Object.fromEntries(
    [...byStatus].map(([status, lines]) => [
      String(status),
      { description: lines.join('\n'), content: { [PROBLEM_MEDIA_TYPE]: { schema: problemDocument } } },
    ]),
  );
}
