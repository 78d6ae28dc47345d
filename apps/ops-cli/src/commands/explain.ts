import { buildAreaMap } from '@borough/topology';
import { type Command } from 'commander';
import { explain as explained, explanationLines, parseQuestion } from '../render/explanation.js';
import { EXIT } from '../terminal/exit-codes.js';
import { usage } from './arguments.js';
import { verb, workOf, type CommonOptions, type Run } from './verb.js';

/** `borough explain <tag>` */
export function explain(run: Run): Command {
  return verb('explain <tag>', {
    summary: 'Where a request with this tag goes, and why: tag → shard → zone',
    page: 'explain',
    examples: [
      'borough explain geo:851f1553fffffff',
      'borough explain shard:17',
      'borough explain ord_01h455vb4pex5vsknk084sn02q',
      'borough explain 53.12523,8.75059',
      'borough explain -33.92,18.42 --json',
    ],
    json: 'print what was found: tag, shard, area, owner, state, epoch, tableVersion, why …',
  }).action(async (text: string, options: CommonOptions) => {
    const { output, ops, signal } = workOf(run.terminal, options);
    const question = parseQuestion(text);
    if (question === undefined) throw notReadable(text);
    const [routing, areaMap] = await Promise.all([ops().getRouting({ signal }), ops().getAreaMap({ signal })]);
    const map = buildAreaMap(areaMap.areas);
    let answer = explained(question, map, routing);
    if (answer.state !== undefined && answer.state !== 'serving') {
      const { shards } = await ops().getShards({ signal });
      answer = explained(question, map, routing, (shard) => shards.find((candidate) => candidate.shard === shard));
    }
    output.document(answer);
    if (!output.isJson) output.words(explanationLines(answer, output.paint));
    run.exitCode = answer.isServed ? EXIT.done : EXIT.refused;
  });
}

function notReadable(text: string) {
  if (text.startsWith('cus_')) {
    return usage(`${text} is no tag: a customer lives in no shard`, ['take the id of an order, a store or a courier']);
  }
  return usage(`${text} is neither a tag nor a place`, [
    'tags: geo:<H3 cell>, shard:<number>, or an id like ord_01h455vb4pex5vsknk084sn02q',
    'places: latitude,longitude in degrees, like 53.12523,8.75059',
  ]);
}
