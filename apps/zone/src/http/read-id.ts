import { Problem } from '@borough/server-kit';
import { ID_PREFIXES, type IdKind, parseId } from '@borough/topology';

/**
 * The UUID behind an id from a path.
 *
 * @throws Problem `malformed-id`, or `wrong-id-type` for a good id of another kind
 */
export function readId(kind: IdKind, text: string): string {
  const id = parseId(text);
  if (id === undefined) throw new Problem('malformed-id', { detail: `An id here looks like ${ID_PREFIXES[kind]}_….` });
  if (id.kind !== kind) {
    throw new Problem('wrong-id-type', {
      detail: `Wanted here: ${ID_PREFIXES[kind]}_…; given: ${ID_PREFIXES[id.kind]}_….`,
    });
  }
  return id.uuid;
}
