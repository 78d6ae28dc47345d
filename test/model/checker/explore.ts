/**
 * Looks through a model: breadth-first, so that the first violation found is a shortest one, or along random walks.
 *
 * Every new state is asked two things: is anything wrong with it, and, once faults end, does any path lead back to
 * normal service? For the second a depth-first search goes along recovery steps until it meets a state that is home, or
 * one that is known to lead there; as such states soon are everywhere, most searches take a step or two.
 */
import { type Finding, type Model, type StepKind, type Violation } from './model.js';
import { hashOf, StateSet } from './state-set.js';

export interface Bounds {
  /** Most states that are looked at. */
  readonly states: number;
  /** Longest path, in steps. */
  readonly depth: number;
  /** When to stop, in ms of `performance.now`. */
  readonly untilMs?: number;
  /** Of how many new states one is asked whether it leads home; 0: none. */
  readonly homeEvery: number;
}

/** Most states that one search for a way home looks at. */
const HOME_STATES = 20_000;
const ENCODED_WORDS = 512;

/** Breadth-first: exhausts the model, or stops at a bound. */
export function exploreAll<State>(model: Model<State>, bounds: Bounds): Finding {
  const hasher = hasherOf(model);
  const seen = new StateSet();
  const home = new WayHome(model, hasher);
  let frontier = [{ state: model.initial, index: seen.add(hasher(model.initial), -1, 0) }];
  let depth = 0;
  let steps = 0;
  let found: { breach: string; path: number[] } | undefined;

  const finding = (isExhausted: boolean): Finding => ({
    violation: found === undefined ? undefined : tell(model, found.path, found.breach),
    states: seen.size,
    steps,
    depth,
    isExhausted,
    ledHome: home.ledHome,
  });

  while (frontier.length > 0) {
    if (depth >= bounds.depth) return finding(false);
    depth += 1;
    const next: typeof frontier = [];
    for (const { state, index } of frontier) {
      let ordinal = 0;
      model.steps(state, (following) => {
        const taken = ordinal++;
        steps += 1;
        if (found !== undefined) return;
        const added = seen.add(hasher(following), index, taken);
        if (added < 0) return;
        const isAsked = bounds.homeEvery > 0 && added % bounds.homeEvery === 0;
        const breach = model.breachOf(following) ?? (isAsked ? home.breachOf(following) : undefined);
        if (breach !== undefined) found = { breach, path: seen.pathTo(added) };
        else next.push({ state: following, index: added });
      });
      // Checked by TypeScript as never: it is set in the callback above.
      if ((found as unknown) !== undefined) return finding(false);
      if (seen.size > bounds.states) return finding(false);
      if (bounds.untilMs !== undefined && (steps & 0x3ff) < 16 && performance.now() > bounds.untilMs)
        return finding(false);
    }
    frontier = next;
  }
  return finding(true);
}

export interface WalkBounds {
  readonly walks: number;
  /** Steps of one walk. */
  readonly depth: number;
  readonly untilMs?: number;
  /** Asks at the end of every n-th walk whether it leads home; 0: never. */
  readonly homeEvery: number;
}

/** Random walks: each step one of those that are possible, by `random`. */
export function walkAtRandom<State>(model: Model<State>, bounds: WalkBounds, random: () => number): Finding {
  const hasher = hasherOf(model);
  const seen = new StateSet();
  const home = new WayHome(model, hasher);
  let steps = 0;
  let deepest = 0;
  for (let walk = 0; walk < bounds.walks; walk++) {
    if (bounds.untilMs !== undefined && performance.now() > bounds.untilMs) break;
    const path: number[] = [];
    let state = model.initial;
    let breach: string | undefined;
    while (breach === undefined && path.length < bounds.depth) {
      const choices: State[] = [];
      model.steps(state, (following) => choices.push(following));
      const taken = Math.floor(random() * choices.length);
      const following = choices[taken];
      if (following === undefined) break;
      path.push(taken);
      steps += 1;
      state = following;
      if (seen.add(hasher(state), -1, 0) >= 0) breach = model.breachOf(state);
    }
    deepest = Math.max(deepest, path.length);
    const isAsked = breach === undefined && bounds.homeEvery > 0 && walk % bounds.homeEvery === 0;
    if (isAsked) breach = home.breachOf(state);
    if (breach !== undefined) {
      const isBroken = (end: State) => (isAsked ? home.breachOf(end) : model.breachOf(end)) !== undefined;
      const violation = tell(model, shortened(model, path, isBroken), breach);
      return { violation, states: seen.size, steps, depth: path.length, isExhausted: false, ledHome: home.ledHome };
    }
  }
  return { violation: undefined, states: seen.size, steps, depth: deepest, isExhausted: false, ledHome: home.ledHome };
}

/** Follows the numbered choices from the start and tells what happens, as sentences. */
function tell<State>(model: Model<State>, path: readonly number[], breach: string): Violation {
  const story: string[] = [];
  let state = model.initial;
  for (const taken of path) {
    let ordinal = 0;
    let chosen: { following: State; sentence: string } | undefined;
    model.steps(state, (following, kind, say) => {
      if (ordinal++ === taken) chosen = { following, sentence: sentenceOf(kind, say) };
    });
    if (chosen === undefined) throw new Error(`step ${story.length + 1} of the path does not exist`);
    story.push(chosen.sentence);
    state = chosen.following;
  }
  return { breach, story, end: model.describe(state) };
}

/** Leaves out steps that the violation does not need, one after the other, by what they say. */
function shortened<State>(model: Model<State>, path: readonly number[], isBroken: (end: State) => boolean): number[] {
  let best = [...path];
  let sentences = tell(model, best, '').story;
  for (let length = Number.POSITIVE_INFINITY; best.length < length;) {
    length = best.length;
    for (let at = sentences.length - 1; at >= 0; at--) {
      const shorter = follow(model, sentences.toSpliced(at, 1));
      if (shorter === undefined || !isBroken(shorter.end)) continue;
      best = shorter.path;
      sentences = tell(model, best, '').story;
    }
  }
  return best;
}

/** The choices that tell this story; undefined when it cannot happen. */
function follow<State>(model: Model<State>, story: readonly string[]): { path: number[]; end: State } | undefined {
  const path: number[] = [];
  let end = model.initial;
  for (const sentence of story) {
    let ordinal = 0;
    let chosen: State | undefined;
    model.steps(end, (following, kind, say) => {
      const taken = ordinal++;
      if (chosen !== undefined || sentenceOf(kind, say) !== sentence) return;
      chosen = following;
      path.push(taken);
    });
    if (chosen === undefined) return undefined;
    end = chosen;
  }
  return { path, end };
}

/**
 * The state after a story told in fragments: at each the first step whose sentence has the fragment in it.
 *
 * @throws Error when no step fits: the story cannot happen
 */
export function stateAfter<State>(model: Model<State>, fragments: readonly string[]): State {
  let state = model.initial;
  for (const [told, fragment] of fragments.entries()) {
    let chosen: State | undefined;
    const others: string[] = [];
    model.steps(state, (following, kind, say) => {
      const sentence = sentenceOf(kind, say);
      others.push(sentence);
      if (chosen === undefined && sentence.includes(fragment)) chosen = following;
    });
    if (chosen === undefined) {
      throw new Error(`step ${told + 1}, “${fragment}”, cannot be taken; these can:\n${others.join('\n')}`);
    }
    state = chosen;
    const breach = model.breachOf(state);
    if (breach !== undefined && told + 1 < fragments.length)
      throw new Error(`broken at step ${told + 1} already: ${breach}`);
  }
  return state;
}

const sentenceOf = (kind: StepKind, say: () => string): string => (kind === 'step' ? say() : `(${kind}) ${say()}`);

/** Knows which states lead home, and finds out about others. */
class WayHome<State> {
  ledHome = 0;
  private readonly known = new StateSet();

  constructor(
    private readonly model: Model<State>,
    private readonly hasher: (state: State) => number,
  ) {}

  breachOf(start: State): string | undefined {
    const tried = new Set<number>();
    const path: { hash: number; choices: State[] }[] = [];
    let state: State | undefined = start;
    while (state !== undefined) {
      const hash = this.hasher(state);
      if (this.known.has(hash) || this.model.isHome(state)) {
        for (const passed of path) this.known.add(passed.hash, -1, 0);
        this.known.add(hash, -1, 0);
        this.ledHome += 1;
        return undefined;
      }
      if (!tried.has(hash)) {
        tried.add(hash);
        const choices: State[] = [];
        this.model.recoverySteps(state, (following) => choices.push(following));
        path.push({ hash, choices: choices.reverse() });
      }
      if (tried.size > HOME_STATES) return `no way back to normal service was found within ${HOME_STATES} states`;
      state = undefined;
      for (let last = path.at(-1); last !== undefined && state === undefined; last = path.at(-1)) {
        state = last.choices.pop();
        if (state === undefined) path.pop();
      }
    }
    return 'nothing leads back to normal service, though all zones are up';
  }
}

function hasherOf<State>(model: Model<State>): (state: State) => number {
  const words = new Uint16Array(ENCODED_WORDS);
  return (state) => hashOf(words, model.encode(state, words));
}
