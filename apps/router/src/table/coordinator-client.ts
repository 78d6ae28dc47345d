import { type AreaMapView, areaMapView, type RoutingSnapshot, routingSnapshot } from '@borough/contracts';
import { type Dispatcher, request } from 'undici';
import { type z } from 'zod';

/** A coordinator that hangs is given up after this, in ms. Nobody waits for it meanwhile: the others are asked too. */
const DEADLINE_MS = 2_000;

/** One coordinator, as a router asks it. Remembers what it said last, so that the same answer is not sent twice. */
export class CoordinatorClient {
  /** The newest area map it has spoken of. */
  announcedAreaMapVersion = -1;
  /** Questions to it that are not answered yet. */
  unanswered = 0;
  private etag: string | undefined;

  constructor(private readonly url: string) {}

  /**
   * The snapshot, if it is another one than was taken the last time.
   *
   * @param take merges a snapshot; only one that it took without a throw is remembered as known
   * @throws Error when the coordinator does not answer, or with something that is no snapshot
   */
  async fetchRouting(headers: Readonly<Record<string, string>>, take: (snapshot: RoutingSnapshot) => void) {
    const known = this.etag === undefined ? undefined : { 'if-none-match': this.etag };
    const answer = await this.ask('/v1/routing', { ...headers, ...known });
    if (answer.statusCode === 304 && known !== undefined) {
      await answer.body.dump();
      return;
    }
    const snapshot = await readAnswer(answer, routingSnapshot);
    take(snapshot);
    this.announcedAreaMapVersion = snapshot.areaMapVersion;
    const { etag } = answer.headers;
    this.etag = typeof etag === 'string' ? etag : undefined;
  }

  /** @throws Error when the coordinator does not answer, or with something that is no area map */
  async fetchAreaMap(): Promise<AreaMapView> {
    return readAnswer(await this.ask('/v1/area-map', {}), areaMapView);
  }

  private ask(path: string, headers: Record<string, string>): Promise<Dispatcher.ResponseData> {
    return request(this.url + path, {
      headers,
      headersTimeout: DEADLINE_MS,
      bodyTimeout: DEADLINE_MS,
      signal: AbortSignal.timeout(DEADLINE_MS),
    });
  }
}

async function readAnswer<Schema extends z.ZodType>(
  answer: Dispatcher.ResponseData,
  schema: Schema,
): Promise<z.output<Schema>> {
  if (answer.statusCode === 200) return schema.parse(await answer.body.json());
  await answer.body.dump();
  throw new Error(`a coordinator answered ${answer.statusCode}`);
}
