import { type Capabilities, type Hypervisor, HypervisorError, type Quiesced } from './hypervisor.ts';

/** Where no machine can be run: it has none, and says why. */
export class NoHypervisor implements Hypervisor {
  readonly #capabilities: Capabilities;

  constructor(why: Pick<Capabilities, 'version' | 'missing'> & { readonly note: string }) {
    this.#capabilities = { ...why, accelerator: null };
  }

  async capabilities(): Promise<Capabilities> {
    return this.#capabilities;
  }

  async start(): Promise<void> {
    this.#refuse();
  }

  async stop(): Promise<void> {}

  async reboot(): Promise<void> {
    this.#refuse();
  }

  async list(): Promise<readonly []> {
    return [];
  }

  async attach(): Promise<void> {
    this.#refuse();
  }

  async detach(): Promise<void> {}

  async quiesce(): Promise<Quiesced> {
    return {
      consistency: 'filesystem',
      note: null,
      isHeld: () => false,
      heldMs: () => 0,
      [Symbol.asyncDispose]: async () => {},
    };
  }

  async console(): Promise<Buffer> {
    return Buffer.alloc(0);
  }

  async usage(): Promise<null> {
    return null;
  }

  async forward(): Promise<void> {
    this.#refuse();
  }

  async forget(): Promise<void> {}

  watch(): void {}

  async [Symbol.asyncDispose](): Promise<void> {}

  #refuse(): never {
    throw new HypervisorError('unavailable', this.#capabilities.note ?? 'no machine can be run here');
  }
}
