/** The rules of design.md sections 4 to 6 that the model can leave out, each with what it says. */
export const RULES = {
  // Section 4: terms, two-phase install, the fence.
  'terms-refuse': 'a voter refuses calls of an older term',
  'two-phase-install': 'a majority accepts before the heir serves',
  'adopt-the-accepted': 'a new leader must adopt the accepted value it sees',
  'read-after-promise': 'a leader judges only copies of voters that promised its term',
  'intent-first': 'a majority knows the intent before anything else is done',
  'fence-under-the-lock': 'an epoch changes only under the lock that writers share',
  'fence-the-owner': 'a live owner is fenced before another is installed',
  'wait-for-the-heir': 'the heir has applied up to the cut before it is proposed',
  'wait-for-members': 'so has every zone in the record of the heir',
  // Section 5: the in-sync set.
  'drop-record-first': 'a member leaves the record before it leaves the setting',
  'add-setting-first': 'a member is in the setting before it is in the record',
  'senders-have-reloaded': 'a member is recorded only after every walsender has loaded the setting',
  'newcomer-flushed-marker': 'a member is recorded only after it has flushed a marker written since',
  'solo-commit-seen-waiting': 'a zone leaves solo only after a commit was seen waiting',
  'compare-before-recorded': 'a zone that missed something is healed and compared before it is recorded',
  'remade-streams-count': 'whoever makes a stream anew raises the version of the record it belongs to',
  'changes-compare-version': 'a change of the record fails when the record has changed since it was begun',
  'clean-up-under-a-ballot': 'an agent that tidies the setting first refuses changes sent before',
  'replay-commits': 'an answer from an idempotency row goes out only after a commit of its own',
  // Section 6: moves.
  'freeze-the-owner': 'a move freezes the record of the old owner before its checks',
  'freeze-the-heir': 'and that of the heir',
  'check-membership': 'a handover checks that the heir is recorded, and its members too',
  'check-seals': 'a handover from or to a zone that is sealed off anywhere does not begin',
  'undo-is-a-new-epoch': 'a failover that is taken back fences the old owner and gives it a new epoch',
  'thaw-knows-the-epoch': "the old owner's record thaws only once it knows the new epoch and none of its writers waits",
  'seal-an-unreachable-owner': 'an owner that is not fenced is sealed off at the heir before the heir is chosen',
  'workers-seen-gone': 'a seal counts only once the apply worker is seen gone',
  'heir-is-recorded': 'the heir is in the record of the old owner',
  'heir-has-the-most': 'of the recorded members the one with the highest position is the heir',
  'owner-leaves-heirs-record': 'the old owner leaves the record of the heir before the heir is installed',
  'heal-members-of-the-heir': 'every zone in the record of the heir is healed from it, or leaves it',
  'accepting-seals': 'a zone that takes an epoch away from a sealed-off owner seals it too',
  'seal-names-its-epoch': 'a seal names the epoch it ends, and is refused where a later one is known',
  'only-rejoin-unseals': 'no restart and no set-up enables a sealed subscription',
  'heal-from-the-owner': 'rows are healed from the owner only, never from a sealed zone',
  'heal-replaces-the-tail': "a row of an epoch older than the owner's is replaced whatever its version",
  'rejoin-ends-backends': 'a zone that rejoins ends its old backends before any position moves',
  'rejoin-heals': 'a zone that rejoins replaces what it wrote by the rows of the owner',
  'tail-is-passed': 'a zone unseals only with its position past the tail',
  'every-zone-passes-the-tail': 'a zone that was away during the rejoin does so when it is back',
  'recorded-after-rejoin': 'a zone is recorded again only when its rejoin is over',
  guard: 'the apply guard judges what comes in',
  'guard-knows-the-cut': 'a late row from before the cut is taken in, whatever epoch is known here',
  'guard-raises': 'the guard raises on a row from beyond the cut; it does not skip it',
} as const;

export type Rule = keyof typeof RULES;
export type Rules = Readonly<Record<Rule, boolean>>;

export const ALL_RULES = Object.fromEntries(Object.keys(RULES).map((rule) => [rule, true])) as Record<
  Rule,
  boolean
> as Rules;

export const without = (...left: readonly Rule[]): Rules => ({
  ...ALL_RULES,
  ...Object.fromEntries(left.map((rule) => [rule, false])),
});

export function isRule(name: string): name is Rule {
  return Object.hasOwn(RULES, name);
}
