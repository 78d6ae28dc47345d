import { z } from 'zod';
import { idField, placeField, textField, versionField } from '../fields.js';
import { type RouteContract, TAGGED_PROBLEMS, WRITE_PROBLEMS } from './route.js';

export const openStoreRequest = z.strictObject({ name: textField(200), location: placeField });
export type OpenStoreRequest = z.infer<typeof openStoreRequest>;

export const storeView = z.strictObject({
  id: idField('store'),
  name: z.string(),
  location: placeField,
  createdAt: z.iso.datetime(),
  version: versionField,
});
export type StoreView = z.infer<typeof storeView>;

export const openStore = {
  method: 'post',
  path: '/v1/stores',
  summary: 'Open a store; its location decides its area for good',
  isTagged: true,
  body: openStoreRequest,
  answers: { 201: { description: 'Opened', body: storeView } },
  problems: [...TAGGED_PROBLEMS, ...WRITE_PROBLEMS],
} as const satisfies RouteContract;

export const getStore = {
  method: 'get',
  path: '/v1/stores/{storeId}',
  summary: 'Read a store; any zone answers',
  isTagged: true,
  params: z.strictObject({ storeId: idField('store') }),
  answers: { 200: { description: 'The store as this zone has it', body: storeView } },
  problems: [...TAGGED_PROBLEMS, 'malformed-id', 'wrong-id-type', 'store-not-found'],
} as const satisfies RouteContract;
