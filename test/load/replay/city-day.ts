/**
 * One day of one city, as the replay knows it: who was where, and which order was placed when.
 *
 * All times are ms since midnight of that day, local time of the city. What is later than an order's placement stays
 * later: a day's file writes 00:10 for ten past the next midnight, here it is 24:10.
 */
import { type Place, type Vehicle } from '@borough/contracts';

export const DAY_MS = 24 * 60 * 60 * 1000;

export interface CityOrder {
  readonly city: string;
  /** Unique within the city and the day. */
  readonly orderId: string;
  readonly pickUp: Place;
  readonly dropOff: Place;
  readonly placedAtMs: number;
  /** When the store had it ready; in about a fifth of the real orders after the promised time. */
  readonly readyAtMs: number;
  readonly expectedDropOffAtMs: number;
}

export interface CityCourier {
  readonly city: string;
  readonly courierId: string;
  readonly vehicle: Vehicle;
  /** Where they came on duty. */
  readonly location: Place;
  readonly onDutyAtMs: number;
}

export interface CityDay {
  readonly city: string;
  readonly orders: readonly CityOrder[];
  readonly couriers: readonly CityCourier[];
}

/** The instant `time` (ms since midnight) at or after `earlier`: a time before it belongs to the next day. */
export function atOrAfter(earlier: number, time: number): number {
  return time < earlier ? time + DAY_MS : time;
}

/** `latitude,longitude` in full precision: the identity of a place within a city. */
export function placeKey(place: Place): string {
  return `${place.latitude},${place.longitude}`;
}

/** The orders of all cities by placement, and within one instant in the order they came in. */
export function ordersByPlacement(days: readonly CityDay[]): CityOrder[] {
  return days.flatMap((day) => day.orders).sort((one, other) => one.placedAtMs - other.placedAtMs);
}

/** The same days with only the first `orders` orders placed, and the first `orders` couriers on duty, in all. */
export function firstOrders(days: readonly CityDay[], orders: number): CityDay[] {
  const keptOrders = new Set(ordersByPlacement(days).slice(0, orders));
  const couriers = days.flatMap((day) => day.couriers).sort((one, other) => one.onDutyAtMs - other.onDutyAtMs);
  const keptCouriers = new Set(couriers.slice(0, orders));
  return days
    .map((day) => ({
      city: day.city,
      orders: day.orders.filter((order) => keptOrders.has(order)),
      couriers: day.couriers.filter((courier) => keptCouriers.has(courier)),
    }))
    .filter((day) => day.orders.length > 0 || day.couriers.length > 0);
}
