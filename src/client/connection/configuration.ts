/** Settings of the AWS tools: two files, profiles in them, and the environment. */
import { readFileSync } from 'node:fs';
import type { Surroundings } from '#client/command.ts';
import { IniError, nestedOf, parseIni, type IniSection } from './ini-file.ts';
import { failure, osErrorText } from '#client/failure.ts';

export interface Configuration {
  /** Null: none was asked for, so `default` counts if there is one. */
  readonly profileName: string | null;
  /** Whether an option named the profile; then the environment's keys do not count. */
  readonly profileByOption: boolean;
  /** Settings of the profile, those of the file of credentials first. Empty when there is none. */
  readonly profile: IniSection;
  /** Every profile by its name, from both files. */
  readonly profiles: ReadonlyMap<string, IniSection>;
  /** Profiles of the file of credentials alone. */
  readonly credentialProfiles: ReadonlyMap<string, IniSection>;
  /** Sections `[services x]` by x. */
  readonly services: ReadonlyMap<string, IniSection>;
  /** A variable of the environment; one that is empty counts as given. */
  readonly environment: (name: string) => string | null;
}

/** Throws ClientError when a file cannot be understood or the profile that was asked for is in none. */
export function loadConfiguration(profileOption: string | null, surroundings: Surroundings): Configuration {
  const environment = (name: string): string | null => surroundings.environment[name] ?? null;
  const configFile = sectionsOf(environment('AWS_CONFIG_FILE') ?? '~/.aws/config', surroundings);
  const credentialProfiles = sectionsOf(
    environment('AWS_SHARED_CREDENTIALS_FILE') ?? '~/.aws/credentials',
    surroundings,
  );
  const profiles = new Map<string, IniSection>();
  const services = new Map<string, IniSection>();
  for (const [name, section] of configFile) {
    if (name === 'default') profiles.set(name, section);
    const [kind, of] = wordsOf(name);
    if (of === undefined) continue;
    if (kind?.startsWith('profile') === true) profiles.set(of, section);
    if (kind?.startsWith('services') === true) services.set(of, section);
  }
  for (const [name, section] of credentialProfiles) {
    profiles.set(name, new Map([...(profiles.get(name) ?? []), ...section]));
  }
  const profileName = profileOption ?? environment('AWS_DEFAULT_PROFILE') ?? environment('AWS_PROFILE');
  const profile = profiles.get(profileName ?? 'default');
  if (profile === undefined && profileName !== null) {
    throw failure(`The config profile (${profileName}) could not be found`);
  }
  return {
    profileName,
    profileByOption: profileOption !== null,
    profile: profile ?? new Map(),
    profiles,
    credentialProfiles,
    services,
    environment,
  };
}

/** The settings within a setting of a section (`ec2 =` and what stands below it); empty when there are none. */
export function nestedSettings(section: IniSection | undefined, name: string): IniSection {
  const value = section?.get(name);
  return (value === undefined ? null : nestedOf(value)) ?? new Map<string, string>();
}

/** Where a path of the settings leads: `~` and `$NAME` as in a shell. */
export function expandedPath(path: string, { environment, home }: Surroundings): string {
  const expanded = path.replace(/\$(?:\{(\w+)\}|(\w+))/g, (whole, braced?: string, bare?: string) => {
    return environment[braced ?? bare ?? ''] ?? whole;
  });
  return expanded === '~' || expanded.startsWith('~/') ? `${home}${expanded.slice(1)}` : expanded;
}

function sectionsOf(path: string, surroundings: Surroundings): ReadonlyMap<string, IniSection> {
  const expanded = expandedPath(path, surroundings);
  let text: string;
  try {
    text = readFileSync(expanded, 'utf8');
  } catch (error) {
    if (['ENOENT', 'EISDIR', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) return new Map();
    throw failure(`${osErrorText(error)}: '${expanded}'`);
  }
  try {
    const sections = parseIni(text);
    for (const section of sections.values()) for (const value of section.values()) nestedOf(value);
    return sections;
  } catch (error) {
    if (error instanceof IniError) throw failure(`Unable to parse config file: ${expanded}`);
    throw error;
  }
}

/** The words of a section's name, quotes undone: `profile "two words"`. Two words, else none that count. */
function wordsOf(name: string): readonly string[] {
  const words = [...name.matchAll(/"((?:[^"\\]|\\.)*)"|'([^']*)'|([^\s"']+)/g)].map(
    ([, double, single, bare]) => double?.replace(/\\(["\\])/g, '$1') ?? single ?? bare ?? '',
  );
  return words.length === 2 ? words : [];
}
