/** For specs: the real router on a port of its own, with far sides of the test's making. */
import { once } from 'node:events';
import { type AddressInfo, connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { type NestFastifyApplication } from '@nestjs/platform-fastify';
import { type ProblemDocument } from '@borough/contracts';
import { Agent, type Dispatcher } from 'undici';
import { type FakeCoordinator, type FakeZone } from './far-side.js';
import { readRouterConfig } from './router.config.js';
import { startRouter } from './router.js';

export interface Answer {
  readonly status: number;
  readonly headers: Dispatcher.ResponseData['headers'];
  readonly text: string;
  /** The body as JSON; for a refusal. */
  readonly problem: ProblemDocument;
}

type SentRequest = Partial<Pick<Dispatcher.RequestOptions, 'method' | 'headers' | 'body'>>;

export class RouterUnderTest {
  private constructor(
    private readonly app: NestFastifyApplication,
    readonly url: string,
    private readonly agent: Agent,
  ) {}

  /** @param settings environment variables besides the addresses */
  static async start(
    coordinators: readonly FakeCoordinator[],
    zones: readonly FakeZone[],
    settings: Readonly<Record<string, string>> = {},
  ): Promise<RouterUnderTest> {
    const config = readRouterConfig({
      HTTP_PORT: '0',
      COORDINATOR_URLS: coordinators.map(({ url }) => url).join(','),
      ZONE_URLS: zones.map(({ zoneId, url }) => `${zoneId}=${url}`).join(','),
      // Nobody listens there: a router does without notices.
      NATS_URL: 'nats://127.0.0.1:1',
      // Whatever a router learns in these tests, it does not learn by polling.
      POLL_EVERY_MS: '3600000',
      POLL_WITHOUT_NOTICES_MS: '3600000',
      // What never gets better is given up soon.
      HOLD_MAX_MS: '300',
      LOG_LEVEL: 'silent',
      ...settings,
    });
    const app = await startRouter(config);
    const { port } = app.getHttpServer().address() as AddressInfo;
    return new RouterUnderTest(app, `http://127.0.0.1:${port}`, new Agent());
  }

  /** Sends one request; those in a row share connections. */
  async send(path: string, { method = 'GET', headers = {}, body = null }: SentRequest = {}): Promise<Answer> {
    // Not by URL: that would be tidied up before it is sent.
    const answer = await this.agent.request({ origin: this.url, path, method, headers, body });
    const received = await answer.body.text();
    return {
      status: answer.statusCode,
      headers: answer.headers,
      text: received,
      get problem() {
        return JSON.parse(received) as ProblemDocument;
      },
    };
  }

  /** Writes bytes to a socket, and reads until the router closes it. */
  async raw(bytes: string): Promise<string> {
    const socket = connect(Number(new URL(this.url).port), '127.0.0.1');
    await once(socket, 'connect');
    socket.write(bytes);
    return text(socket);
  }

  /** Makes the router ask its coordinators, as anybody does who names a shard it does not know. */
  async askForTable(): Promise<void> {
    await this.send('/v1/orders', { method: 'POST', headers: { 'traffic-tag': 'shard:4095' } });
  }

  /** The value of a counter or gauge; all routers of a process count together. */
  async count(metric: string): Promise<number> {
    const { text: page } = await this.send('/metrics');
    const line = page.split('\n').find((candidate) => candidate.startsWith(`${metric} `));
    return Number(line?.slice(metric.length + 1) ?? 0);
  }

  async isReady(): Promise<boolean> {
    return (await this.send('/health/ready')).status === 200;
  }

  /** What SIGTERM does. */
  shutDown(): Promise<void> {
    return this.app.close();
  }

  async stop(): Promise<void> {
    await this.agent.close();
    await this.app.close();
  }
}
