/**
 * The way to a service: finds settings, endpoint and credentials as the AWS tools do, and calls operations.
 *
 * A connection is for one command. `call` of what answers at once asks at once; what answers in pages is asked as its pages are
 * read. `close` ends the connections that wait for a next request.
 */
import { systemClock, type Clock } from '#base/clock.ts';
import { systemRandom, type Random } from '#base/random.ts';
import type { Call, Reply, Surroundings, Wait } from '#client/command.ts';
import type { ServiceName } from '#wire/aws/operations.ts';
import { Caller } from './caller.ts';
import { loadConfiguration } from './configuration.ts';
import { findCredentials } from './credentials.ts';
import { credentialParts } from './credential-parts.ts';
import { DebugLog } from './debug-log.ts';
import { PagedReply, WholeReply } from './pages.ts';
import { paginatorOf } from './paginators.ts';
import { connectionSettings, resolveSettings, type Settings, type SettingSources } from './settings.ts';
import { Transport, type TransportOptions } from './transport.ts';

export interface Connection {
  readonly settings: Settings;
  /** Throws ClientError, and what it throws has the words of the AWS command line. So does reading the reply. */
  call(call: Call): Promise<Reply>;
  /** Ends when what is waited for is so. Throws ClientError. */
  wait(wait: Wait): Promise<void>;
  close(): void;
}

export interface ConnectionParts {
  readonly clock: Clock;
  readonly random: Random;
}

/** Throws ClientError: no such profile, no region. That there are no credentials is said by the first call. */
export async function openConnection(
  { service, globals }: Pick<Call, 'service' | 'globals'>,
  surroundings: Surroundings,
  { clock, random }: ConnectionParts = { clock: systemClock, random: systemRandom },
): Promise<Connection> {
  const { stderr } = surroundings;
  const debug = new DebugLog(globals.debug ? (text) => void stderr.write(text) : null, clock);
  const configuration = loadConfiguration(globals.profile, surroundings);
  const sources = { globals, configuration, surroundings };
  const transportOptions = transportOptionsOf(sources);
  const parts = credentialParts({ ...sources, transportOptions, clock, random, debug });
  const settings = await resolveSettings(service, sources, {
    named: () => findCredentials(configuration, parts),
    ofMachine: parts.instanceMetadata,
  });
  debug.say('connection', () => `Endpoint ${settings.endpoint}, region ${settings.region}`);
  const transport = new Transport(transportOptions);
  return new ServiceConnection(service, settings, new Caller(service, settings, { clock, random, transport, debug }), {
    transport,
    clock,
  });
}

function transportOptionsOf(sources: SettingSources): TransportOptions {
  const { configuration, surroundings } = sources;
  const warned = new Set<string>();
  return {
    ...connectionSettings(sources),
    environment: configuration.environment,
    onUnverified: (host) => {
      if (warned.has(host)) return;
      warned.add(host);
      surroundings.stderr.write(
        `InsecureRequestWarning: Unverified HTTPS request is being made to host '${host}'. Adding certificate verification is strongly advised. See: https://urllib3.readthedocs.io/en/latest/advanced-usage.html#tls-warnings\n`,
      );
    },
  };
}

class ServiceConnection implements Connection {
  readonly settings: Settings;
  readonly #service: ServiceName;
  readonly #caller: Caller;
  readonly #transport: Transport;
  readonly #clock: Clock;

  constructor(
    service: ServiceName,
    settings: Settings,
    caller: Caller,
    { transport, clock }: { readonly transport: Transport; readonly clock: Clock },
  ) {
    this.#service = service;
    this.settings = settings;
    this.#caller = caller;
    this.#transport = transport;
    this.#clock = clock;
  }

  async call(call: Call): Promise<Reply> {
    const paginator = call.globals.paginate ? paginatorOf(this.#service, call.operation) : null;
    if (paginator === null) return new WholeReply(await this.#caller.call(call.operation, call.input, call.outfile));
    return new PagedReply(this.#caller, call, paginator);
  }

  async wait(wait: Wait): Promise<void> {
    const { waitFor } = await import('./wait.ts');
    await waitFor(wait, this.#caller, this.#clock);
  }

  close(): void {
    this.#transport.close();
  }
}
