import { areaMapView, routingSnapshot } from '@borough/contracts';
import { type z } from 'zod';
import { type Clock } from '../transport/clock.js';
import { type KeptTexts } from '../transport/kept-texts.js';
import { type TableCopy } from './table-copy.js';

const TABLE = 'routing';
const AREA_MAP = 'area-map';
/** Changes come in groups; one writing will do for a group. */
const SAVE_AFTER_MS = 250;

/** The table of the last time the app ran: old, and good enough to begin with. */
export class StoredRouting {
  readonly #texts: KeptTexts;
  readonly #copy: TableCopy;
  readonly #clock: Clock;
  #savedAreaMapVersion = -1;
  #savedTable = '';
  #callOff: (() => void) | undefined;
  #saving: Promise<void> = Promise.resolve();

  constructor(texts: KeptTexts, copy: TableCopy, clock: Clock) {
    this.#texts = texts;
    this.#copy = copy;
    this.#clock = clock;
  }

  /** Merges what is stored into the copy. What cannot be read is as if it were not there. */
  async load(): Promise<void> {
    const [table, areas] = await Promise.all([this.#texts.read(TABLE), this.#texts.read(AREA_MAP)]);
    const view = parsed(areaMapView.strip(), areas);
    if (view !== undefined) this.#copy.takeAreaMap(view);
    const snapshot = parsed(routingSnapshot, table);
    if (snapshot !== undefined) this.#copy.take(snapshot);
    this.#savedAreaMapVersion = view?.areaMapVersion ?? -1;
    this.#savedTable = table ?? '';
  }

  /** Stores the copy soon. */
  saveSoon(): void {
    this.#callOff ??= this.#clock.after(SAVE_AFTER_MS, () => {
      this.#callOff = undefined;
      this.#saving = this.#saving.then(() => this.#save());
    });
  }

  /** Stores now what was to be stored soon, and nothing after it. */
  async stop(): Promise<void> {
    if (this.#callOff !== undefined) {
      this.#callOff();
      this.#callOff = undefined;
      this.#saving = this.#saving.then(() => this.#save());
    }
    await this.#saving;
  }

  async #save(): Promise<void> {
    if (!this.#copy.isKnown) return;
    const view = this.#copy.areaMapView;
    if (view !== undefined && view.areaMapVersion !== this.#savedAreaMapVersion) {
      await this.#texts.write(AREA_MAP, JSON.stringify(view));
      this.#savedAreaMapVersion = view.areaMapVersion;
    }
    const table = JSON.stringify(this.#copy.snapshot());
    if (table === this.#savedTable) return;
    await this.#texts.write(TABLE, table);
    this.#savedTable = table;
  }
}

function parsed<Schema extends z.ZodType>(schema: Schema, text: string | undefined): z.output<Schema> | undefined {
  try {
    return text === undefined ? undefined : schema.parse(JSON.parse(text));
  } catch {
    return undefined;
  }
}
