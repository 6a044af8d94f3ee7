// pfcli completion: a script for the user's shell that completes verbs, flags and volume names.
import { flagText } from '../help-text.ts';
import { verb } from './verb.ts';
import { VERBS } from './verb-table.ts';

export const completion = verb(
  {
    name: 'pfcli completion',
    summary: 'Print a completion script: source <(pfcli completion --shell bash)',
    flags: { shell: { kind: 'string', choices: ['bash', 'zsh'], default: 'bash', help: 'for which shell' } },
  },
  async (context, flags) => {
    const cases: string[] = [];
    for (const [name, entry] of Object.entries(VERBS)) {
      const words = name === 'completion' ? ['--shell'] : Object.keys((await entry.load()).spec.flags).map(flagText);
      cases.push(`    ${name}) words="${[...words, '--help'].join(' ')}" ;;`);
    }
    const script = [
      ...(flags.shell === 'zsh' ? ['autoload -U +X bashcompinit && bashcompinit'] : []),
      '_pfcli() {',
      '  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]} words=""',
      '  if [ "$COMP_CWORD" -eq 1 ]; then',
      `    COMPREPLY=($(compgen -W "${Object.keys(VERBS).join(' ')} --help" -- "$current")); return`,
      '  fi',
      '  case "$previous" in',
      '  -v|--volume)',
      `    words=$(pfcli list_volume --json 2>/dev/null | sed -n 's/^ *"name": "\\(.*\\)",*$/\\1/p') ;;`,
      '  *) case "${COMP_WORDS[1]}" in',
      ...cases,
      '    esac ;;',
      '  esac',
      '  COMPREPLY=($(compgen -W "$words" -- "$current"))',
      '}',
      'complete -o default -F _pfcli pfcli',
    ].join('\n');
    context.print({ shell: flags.shell, script }, () => script);
    return 0;
  },
);
