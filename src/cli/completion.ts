/** `varve completion SHELL`, and what its scripts ask: `varve __complete LINE`. */
import { ConfigError } from '#src/config.ts';
import type { CommandEntry } from './commands.ts';
import { Words } from './words.ts';

export const COMPLETION_USAGE = `usage: varve completion bash|zsh|fish

Prints a script with which the shell completes commands, operations, options, their values, and the names of disks and
snapshots of the server that runs here. To have it in every shell:

  bash   echo 'eval "$(varve completion bash)"' >> ~/.bashrc
  zsh    echo 'eval "$(varve completion zsh)"' >> ~/.zshrc         (behind compinit)
  fish   varve completion fish > ~/.config/fish/completions/varve.fish
`;

/** Throws ConfigError for a shell that there is no script for. */
export async function completionCommand(rest: readonly string[], commands: readonly CommandEntry[]): Promise<void> {
  const words = new Words('completion', rest, {});
  const [shell] = words.take('for which shell: bash, zsh or fish');
  const { completionScript, SHELLS } = await import('./completion-script.ts');
  const known = SHELLS.find((name) => name === shell);
  if (known === undefined) throw new ConfigError(`completion: ${SHELLS.join(', ')} have a script, "${shell}" has not`);
  process.stdout.write(await completionScript(known, commands));
}

/** `varve __complete LINE`: what may stand at the end of the line. Says nothing of what goes wrong: somebody is typing. */
export async function completeCommand(words: readonly string[], commands: readonly CommandEntry[]): Promise<void> {
  const [{ completionsOf, completionText }, { kindNames, resourceNames }] = await Promise.all([
    import('./complete.ts'),
    import('./complete-resources.ts'),
  ]);
  const completions = await completionsOf({ line: words[0] ?? '', commands, resourceNames, kindNames });
  // A server that has not answered by now is not waited for.
  process.stdout.write(completionText(completions), () => process.exit(0));
}
