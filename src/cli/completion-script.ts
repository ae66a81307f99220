/**
 * The scripts that make shells complete `varve`. Commands, services and their operations stand in the script, so that they
 * are there at once; everything behind them is asked of `varve __complete`.
 */
import { commandNameOf } from '#client/arguments/names.ts';
import { waiterNames } from '#client/connection/waiters.ts';
import { SERVICES } from '#client/help/service-summaries.ts';
import { loadModel } from '#wire/aws/model.ts';
import type { ServiceName } from '#wire/aws/operations.ts';
import type { CommandEntry } from './commands.ts';

export const SHELLS = ['bash', 'zsh', 'fish'] as const;

export type Shell = (typeof SHELLS)[number];

interface Names {
  /** With what each does. */
  readonly commands: readonly (readonly [name: string, summary: string])[];
  readonly operations: readonly (readonly [service: ServiceName, names: readonly string[]])[];
}

export async function completionScript(shell: Shell, commands: readonly CommandEntry[]): Promise<string> {
  const services = Object.keys(SERVICES) as ServiceName[];
  const names: Names = {
    commands: [
      ...commands.map(({ name, summary }) => [name, summary] as const),
      ...Object.entries(SERVICES),
      ['help', 'what a command does'],
    ],
    operations: services.map((service) => [service, operationNames(service)]),
  };
  return SCRIPTS[shell](names);
}

function operationNames(service: ServiceName): readonly string[] {
  const names = [...loadModel(service).operations.keys()].map(commandNameOf).toSorted();
  return [...names, ...(waiterNames(service).length > 0 ? ['wait'] : []), 'help'];
}

const SCRIPTS: Readonly<Record<Shell, (names: Names) => string>> = { bash, zsh, fish };

function bash({ commands, operations }: Names): string {
  return `# Completion of varve for bash: eval "$(varve completion bash)"
_varve_words() {
  case "$1" in
${operations.map(([service, names]) => `    ${service}) echo "${names.join(' ')}" ;;`).join('\n')}
  esac
}

_varve() {
  local line="\${COMP_LINE:0:COMP_POINT}" cur rest word files
  local -a typed
  read -ra typed <<< "$line"
  if [[ "$line" == *[[:space:]] ]]; then cur=; else cur="\${typed[-1]}"; unset 'typed[-1]'; fi
  COMPREPLY=()
  if [[ \${#typed[@]} -eq 1 && "$cur" != -* ]]; then
    COMPREPLY=($(compgen -W "${commands.map(([name]) => name).join(' ')}" -- "$cur"))
    return
  fi
  if [[ \${#typed[@]} -eq 2 && "$cur" != -* ]]; then
    rest="$(_varve_words "\${typed[1]}")"
    if [[ -n "$rest" ]]; then
      COMPREPLY=($(compgen -W "$rest" -- "$cur"))
      return
    fi
  fi
  while IFS=$'\\t' read -r word rest; do
    case "$word" in
      :files*)
        files="\${word#:files }"
        compopt -o filenames 2> /dev/null
        while IFS= read -r rest; do COMPREPLY+=("$files$rest"); done < <(compgen -f -- "\${cur#"$files"}")
        ;;
      *)
        [[ "$word" == *[=/] ]] && compopt -o nospace 2> /dev/null
        COMPREPLY+=("$word")
        ;;
    esac
  done < <("$1" __complete "$line" 2> /dev/null)
  # Readline takes what is behind the last of its own word breaks, ":" and "=", for the word.
  local kept="\${cur%"\${COMP_WORDS[COMP_CWORD]}"}"
  if [[ "\${COMP_WORDS[COMP_CWORD]}" == [:=] ]]; then kept="$cur"; fi
  COMPREPLY=("\${COMPREPLY[@]#"$kept"}")
}
complete -F _varve varve
`;
}

function zsh({ commands, operations }: Names): string {
  const quoted = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`;
  return `#compdef varve
# Completion of varve for zsh: eval "$(varve completion zsh)", behind compinit
_varve() {
  local -a found operations
  local line word
  if (( CURRENT == 2 )) && [[ "$PREFIX" != -* ]]; then
    found=(
${commands.map(([name, summary]) => `      ${quoted(`${name}:${summary.replaceAll(':', '\\:')}`)}`).join('\n')}
    )
    _describe command found
    return
  fi
  if (( CURRENT == 3 )) && [[ "$PREFIX" != -* ]]; then
    case "$words[2]" in
${operations.map(([service, names]) => `      ${service}) operations=(${names.join(' ')}) ;;`).join('\n')}
    esac
    if (( $#operations )); then
      compadd -a operations
      return
    fi
  fi
  for line in "\${(@f)$("$words[1]" __complete "\${(j: :)words[1,CURRENT-1]} $PREFIX" 2> /dev/null)}"; do
    word="\${line%%$'\\t'*}"
    case "$word" in
      '') ;;
      :files*) compset -P "\${(b)word#:files }"; _files ;;
      *[=/]) compadd -S '' -- "$word" ;;
      *) compadd -- "$word" ;;
    esac
  done
}
compdef _varve varve
`;
}

function fish({ commands, operations }: Names): string {
  const quoted = (text: string): string => `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
  const lines = commands.map(
    ([name, summary]) => `complete -c varve -n __fish_use_subcommand -a ${name} -d ${quoted(summary)}`,
  );
  return `# Completion of varve for fish: varve completion fish > ~/.config/fish/completions/varve.fish
function __varve_operation
    set -l typed (commandline -opc)
    test (count $typed) -eq 2; and contains -- $typed[2] ${operations.map(([service]) => service).join(' ')}
end

function __varve_asked
    set -l typed (commandline -opc)
    test (count $typed) -gt 2; and return 0
    test (count $typed) -eq 2; and not contains -- $typed[2] ${operations.map(([service]) => service).join(' ')}
end

function __varve_complete
    set -l current (commandline -ct)
    for line in (varve __complete (commandline -cp) 2> /dev/null)
        if string match -q ':files*' -- $line
            set -l prefix (string replace -r '^:files ' '' -- (string split \\t -- $line)[1])
            for file in (__fish_complete_path (string replace -- "$prefix" '' "$current"))
                echo $prefix$file
            end
        else
            echo $line
        end
    end
end

complete -c varve -f
${lines.join('\n')}
${operations.map(([service, names]) => `complete -c varve -n '__varve_operation; and contains -- (commandline -opc)[2] ${service}' -a '${names.join(' ')}'`).join('\n')}
complete -c varve -n __varve_asked -a '(__varve_complete)'
`;
}
