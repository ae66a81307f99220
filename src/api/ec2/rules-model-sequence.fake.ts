import assert from 'node:assert/strict';
import { present } from '#base/assert.ts';
import { SeededRandom } from '#base/random.ts';
import { VolumeHostError } from '#volume/host.ts';
import * as keeping from './rules-model-keeping.fake.ts';
import { compareLists } from './rules-model-lists.fake.ts';
import { DAY_MS } from './rules-model-locks.fake.ts';
import { Play } from './rules-model-play.fake.ts';
import * as steps from './rules-model-steps.fake.ts';
import { MODEL_LIMITS, RulesModel } from './rules-model.fake.ts';
import { Scene } from './scene.fake.ts';

const STEPS = 36;
const COMPARE_STEPS = 6;
const STEP_MS_MAX = 15_000;
/** A new server after so many sequences: what locks keep stays in the old one. */
const SEQUENCES_PER_SCENE = 20;
const REGIONS = ['us-east-1', 'eu-west-1'] as const;
const HOUR_MS = 3_600_000;

type Step = (play: Play) => Promise<void> | void;

type Theme = 'making' | 'sharing' | 'locks' | 'tiers' | 'bin';

/** How often each step is taken, and the themes of sequences that take it more often. */
const WEIGHTED: readonly (readonly [number, Step, readonly Theme[]])[] = [
  [4, steps.createVolume, ['making', 'sharing']],
  [2, steps.writeBlock, ['making']],
  [1, steps.deleteVolume, ['making', 'bin']],
  [1, steps.modifyVolume, ['making']],
  [5, steps.createSnapshot, ['making']],
  [3, steps.copySnapshot, ['making', 'sharing']],
  [3, steps.deleteSnapshot, ['locks', 'bin']],
  [1, steps.dryRun, []],
  [3, steps.shareSnapshot, ['sharing']],
  [1, steps.blockPublicAccess, ['sharing']],
  [1, steps.encryptByDefault, ['making']],
  [3, steps.createTags, ['making']],
  [2, steps.deleteTags, []],
  [2, keeping.lockSnapshot, ['locks']],
  [1, keeping.unlockSnapshot, ['locks']],
  [3, keeping.archiveSnapshot, ['tiers']],
  [3, keeping.restoreSnapshotTier, ['tiers']],
  [2, keeping.createRule, ['bin']],
  [2, keeping.changeRule, ['bin']],
  [2, keeping.recoverFromBin, ['bin']],
  [2, steps.readBlocks, ['sharing']],
  [2, steps.describeFiltered, ['sharing']],
  [8, upload, []],
  [6, pass, ['locks', 'tiers', 'bin']],
  [1, (play) => play.scene.world.restartControl(), []],
];
const THEMES = ['making', 'sharing', 'locks', 'tiers', 'bin'] as const satisfies readonly Theme[];
const THEME_FACTOR = 4;
const STEPS_OF = new Map(THEMES.map((theme) => [theme, stepsOf(theme)]));

function stepsOf(theme: Theme): readonly Step[] {
  return WEIGHTED.flatMap(([weight, step, themes]) => {
    const count = themes.includes(theme) ? THEME_FACTOR * weight : weight;
    return Array.from({ length: count }, () => step);
  });
}

export interface Sequences {
  /** Of the first sequence; the next ones count on by `stride`. */
  readonly seed: number;
  readonly stride: number;
  readonly countMax: number;
  readonly budgetMs: number;
}

export interface Played {
  readonly sequenceCount: number;
  readonly counts: Readonly<Record<string, number>>;
}

/** Plays one sequence after another until there are enough or the time is over. Throws when one does not end as it must; the error names its seed. */
export async function playSequences({ seed, stride, countMax, budgetMs }: Sequences): Promise<Played> {
  const startMs = performance.now();
  const counts: Record<string, number> = {};
  let sequenceCount = 0;
  const isOver = (): boolean => sequenceCount >= countMax || performance.now() - startMs > budgetMs;
  while (!isOver()) {
    await using scene = await Scene.open(MODEL_LIMITS);
    for (let index = 0; index < SEQUENCES_PER_SCENE && !isOver(); index += 1) {
      const run = seed + sequenceCount * stride;
      const accounts = [1, 2].map((one) => String(100_000_000_000 + index * 10 + one));
      const parties = accounts.flatMap((account) => REGIONS.map((region) => ({ account, region })));
      const play = new Play({ scene, random: new SeededRandom(run), parties, model: new RulesModel(), counts });
      try {
        await playOne(play);
      } catch (error) {
        throw new Error(`FUZZ_SEED=${run}`, { cause: error });
      }
      sequenceCount += 1;
    }
  }
  return { sequenceCount, counts };
}

async function playOne(play: Play): Promise<void> {
  const { scene, model } = play;
  const choices = present(STEPS_OF.get(play.pick(THEMES)), 'every theme has steps');
  // Something to work on.
  for (let count = 0; count < 3; count += 1) {
    await steps.createVolume(play);
    steps.writeBlock(play);
    await steps.createSnapshot(play);
  }
  for (let count = 0; count < 3; count += 1) await keeping.createRule(play);
  await upload(play);
  for (let step = 1; step <= STEPS; step += 1) {
    // Some requests come too soon after others, and some do not.
    await scene.clock.advance(play.random.below(STEP_MS_MAX));
    await play.pick(choices)(play);
    if (step % COMPARE_STEPS === 0) await compareLists(play, play.anyParty());
  }
  for (const party of play.parties) await compareLists(play, party);
  for (const { id, state, content, bin } of model.volumes.values()) {
    if (state !== 'available' || bin !== null) continue;
    assert.equal(scene.world.host.read(steps.volumeId(id), 0)[0], content, `what is in ${id}`);
  }
  await leave(play);
}

async function upload(play: Play): Promise<void> {
  const { host, control } = play.scene.world;
  const store = play.chance(6) ? play.pick(['damaged', 'full'] as const) : 'sound';
  // What was tried in vain waits for a minute at most.
  await play.scene.clock.advance(61_000);
  if (store === 'damaged') host.failUploads(new VolumeHostError('damaged', 'a chunk is not what it was'));
  if (store === 'full') host.failUploads(new VolumeHostError('no-space', 'the store is full'));
  await control.run('upload-snapshots');
  host.failUploads(null);
  for (const task of ['finish-intents', 'finish-deletions'] as const) await control.run(task);
  play.model.upload(play.nowMs, store);
}

async function pass(play: Play): Promise<void> {
  const units = [0, 5000, 60_000, HOUR_MS, 7 * HOUR_MS, 20 * HOUR_MS, DAY_MS];
  await play.scene.clock.advance(play.pick(units) * (1 + play.random.below(3)));
  for (const task of ['empty-bin', 'tend-tiers', 'finish-deletions'] as const) {
    await play.scene.world.control.run(task);
  }
  play.model.tend(play.nowMs);
}

/** Nobody in later sequences may see what this one leaves behind. */
async function leave(play: Play): Promise<void> {
  for (const party of play.parties) {
    await play.scene.ec2('EnableSnapshotBlockPublicAccess', { State: 'block-all-sharing' }, party);
  }
  for (const { id, owner, lock } of play.model.snapshots.values()) {
    if (lock === null && play.model.ownSnapshot(owner, id) !== null) {
      await play.scene.ec2('DeleteSnapshot', { SnapshotId: id }, owner);
    }
  }
  await play.scene.world.control.run('finish-deletions');
}
