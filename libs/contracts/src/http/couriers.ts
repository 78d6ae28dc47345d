import { z } from 'zod';
import { idField, placeField, textField, versionField } from '../fields.js';
import { type RouteContract, TAGGED_PROBLEMS, WRITE_PROBLEMS } from './route.js';

export const VEHICLES = ['walking', 'bicycle', 'motorcycle', 'car'] as const;
export type Vehicle = (typeof VEHICLES)[number];

export const registerCourierRequest = z.strictObject({
  name: textField(200),
  vehicle: z.enum(VEHICLES),
  /** Where the courier starts; decides the area. */
  location: placeField,
});
export type RegisterCourierRequest = z.infer<typeof registerCourierRequest>;

export const courierView = z.strictObject({
  id: idField('courier'),
  name: z.string(),
  vehicle: z.enum(VEHICLES),
  location: placeField,
  createdAt: z.iso.datetime(),
  version: versionField,
});
export type CourierView = z.infer<typeof courierView>;

export const registerCourier = {
  method: 'post',
  path: '/v1/couriers',
  summary: 'Register a courier in the area of their location',
  isTagged: true,
  body: registerCourierRequest,
  answers: { 201: { description: 'Registered', body: courierView } },
  problems: [...TAGGED_PROBLEMS, ...WRITE_PROBLEMS],
} as const satisfies RouteContract;

export const getCourier = {
  method: 'get',
  path: '/v1/couriers/{courierId}',
  summary: 'Read a courier; any zone answers',
  isTagged: true,
  params: z.strictObject({ courierId: idField('courier') }),
  answers: { 200: { description: 'The courier as this zone has it', body: courierView } },
  problems: [...TAGGED_PROBLEMS, 'malformed-id', 'wrong-id-type', 'courier-not-found'],
} as const satisfies RouteContract;
