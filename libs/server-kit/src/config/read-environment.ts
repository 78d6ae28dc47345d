import { z } from 'zod';

/** Thrown at start when the environment cannot be used; names every fault at once. */
export class ConfigError extends Error {
  constructor(readonly faults: readonly string[]) {
    super(`The environment cannot be used:\n${faults.map((fault) => `  - ${fault}`).join('\n')}`);
    this.name = 'ConfigError';
  }
}

/**
 * Reads the environment once into a frozen typed object.
 *
 * @param schema one member per variable; `.describe()` each with a sentence and a unit, which is shown when it is wrong
 * @throws ConfigError naming every missing or wrong variable
 */
export function readEnvironment<Shape extends z.ZodRawShape>(
  schema: z.ZodObject<Shape>,
  environment: Readonly<Record<string, string | undefined>> = process.env,
): Readonly<z.output<z.ZodObject<Shape>>> {
  const read = schema.safeParse(environment);
  if (read.success) return Object.freeze(read.data);
  throw new ConfigError(
    read.error.issues.map((issue) => {
      const name = String(issue.path[0] ?? 'environment');
      const about =
        name in schema.shape ? z.globalRegistry.get(schema.shape[name] as z.ZodType)?.description : undefined;
      const problem = environment[name] === undefined ? 'is not set' : issue.message;
      return `${name} ${problem}${about === undefined ? '' : ` (${about})`}`;
    }),
  );
}

/** A TCP port to listen on; 0 lets the system choose. Digits only: an empty variable would else quietly mean 0. */
export const portSetting = z
  .string()
  .regex(/^\d{1,5}$/, { error: 'must be a port from 0 to 65535', abort: true })
  .transform(Number)
  .refine((port) => port <= 65_535, 'must be a port from 0 to 65535');

/** `a=url,b=url` as a map from name to URL, in the order given; names are zone ids. */
export const namedUrlsSetting = z.string().transform((text, context): ReadonlyMap<string, string> => {
  const urls = new Map<string, string>();
  for (const part of text.split(',').filter((piece) => piece.trim() !== '')) {
    const [name, url] = splitOnce(part.trim(), '=');
    if (url === undefined || !URL.canParse(url) || !/^[a-z][a-z0-9-]{0,15}$/.test(name) || urls.has(name)) {
      context.addIssue({ code: 'custom', message: `must be a list like a=URL,b=URL; "${name}" cannot be read` });
      return z.NEVER;
    }
    urls.set(name, url);
  }
  return urls;
});

function splitOnce(text: string, separator: string): [string, string | undefined] {
  const at = text.indexOf(separator);
  return at < 0 ? [text, undefined] : [text.slice(0, at), text.slice(at + 1)];
}
