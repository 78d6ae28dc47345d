import { TRAFFIC_TAG_COOKIE, TRAFFIC_TAG_HEADER } from '@borough/contracts';
import { Problem } from '@borough/server-kit';
import { parseTrafficTag, tagOfPath, type TrafficTag } from '@borough/topology';
import { type IncomingHttpHeaders } from 'node:http';

const HOW_TO =
  'Send the header Traffic-Tag with geo:<H3 cell>, shard:<number>, or the id of an order, store or courier.';

/**
 * The tag that names a request's area: the header, else the cookie, else an id in the path.
 *
 * @param pathname path without the query
 * @throws Problem `malformed-tag` (a header or cookie that is there is never skipped), `tag-required`
 */
export function readTag(headers: IncomingHttpHeaders, pathname: string): TrafficTag {
  const text = headerOf(headers) ?? cookieOf(headers.cookie);
  if (text !== undefined) {
    const tag = parseTrafficTag(text);
    if (tag === undefined) throw new Problem('malformed-tag', { detail: HOW_TO });
    return tag;
  }
  const tag = tagOfPath(pathname);
  if (tag === undefined) throw new Problem('tag-required', { detail: HOW_TO });
  return tag;
}

function headerOf(headers: IncomingHttpHeaders): string | undefined {
  const header = headers[TRAFFIC_TAG_HEADER];
  return Array.isArray(header) ? header.join(', ') : header;
}

function cookieOf(cookies: string | undefined): string | undefined {
  const wanted = `${TRAFFIC_TAG_COOKIE}=`;
  const cookie = cookies
    ?.split(';')
    .map((pair) => pair.trim())
    .find((pair) => pair.startsWith(wanted));
  if (cookie === undefined) return undefined;
  try {
    return decodeURIComponent(cookie.slice(wanted.length));
  } catch {
    return '';
  }
}
