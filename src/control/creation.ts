import type { ResourceId } from '#domain/ids.ts';
import type { ControlPorts } from './ports.ts';

/** The client token was used before, and this is what it made, or is making now. */
export interface FoundAgain<Id> {
  readonly again: Id;
}

export interface Creation<Id, Made> {
  readonly newId: () => Id;
  /** Makes the resource under a new id, or finds that a token names one. */
  readonly make: (id: Id) => Promise<Made | FoundAgain<Id>>;
  /** Refuses not-found when it is there no more: a token never makes a second resource. */
  readonly findAgain: (id: Id) => Promise<Made>;
  /** False while the resource is being made, or was left half made. */
  readonly isSettled: (made: Made) => boolean;
}

/** Runs a creation as the one that works on its new id; a token that was used before waits for who uses it now. */
export async function once<Id extends ResourceId, Made extends object>(
  ports: ControlPorts,
  creation: Creation<Id, Made>,
): Promise<Made> {
  for (;;) {
    const id = creation.newId();
    const made = await ports.intents.run(id, () => creation.make(id));
    if (!('again' in made)) return made;
    const joined = ports.intents.has(made.again);
    await ports.intents.settled(made.again);
    // Who made it may have failed and freed the token: then this request is the first.
    if (joined) continue;
    const found = await creation.findAgain(made.again);
    if (creation.isSettled(found)) return found;
    ports.wake('finish-intents');
    throw new Error(`${made.again} was left half made and is being undone`);
  }
}
