import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { COMMANDS, type CommandEntry } from '#src/cli/commands.ts';

export const MANUAL = join(import.meta.dirname, '..', '..', 'docs', 'manual');

const BEGIN = '<!-- what "varve help" prints: npm run manual -->';
const END = '<!-- end -->';

/** Every page of the manual by its file's name: what the program prints is taken from it, what people wrote around it stays. */
export async function manualPages(): Promise<ReadonlyMap<string, string>> {
  const pages = new Map<string, string>([['README.md', await overviewPage()]]);
  for (const entry of COMMANDS) pages.set(`${entry.name}.md`, await commandPage(entry));
  return pages;
}

async function overviewPage(): Promise<string> {
  const width = Math.max(...COMMANDS.map(({ name }) => name.length)) * 2 + '[]()'.length + '.md'.length;
  const rows = COMMANDS.map(({ name, summary }) => `| ${`[${name}](${name}.md)`.padEnd(width)} | ${summary} |`);
  const block = [`| ${'command'.padEnd(width)} | |`, `| ${'-'.repeat(width)} | --- |`, ...rows].join('\n');
  return await around('README.md', '# The commands\n', `${block}\n`);
}

async function commandPage({ name, summary, load }: CommandEntry): Promise<string> {
  const { usage } = await load();
  const heading = `# varve ${name}\n\n${summary.charAt(0).toUpperCase()}${summary.slice(1)}.\n`;
  return await around(`${name}.md`, heading, `\`\`\`text\n${usage}\`\`\`\n`);
}

/** The page as it is, with the block between the marks exchanged; a new one where there is none. */
async function around(file: string, heading: string, block: string): Promise<string> {
  const marked = `${BEGIN}\n\n${block}\n${END}\n`;
  const text = await readFile(join(MANUAL, file), 'utf8').catch(() => null);
  if (text === null) return `${heading}\n${marked}`;
  const [before, rest] = [text.indexOf(BEGIN), text.indexOf(END)];
  if (before < 0 || rest < before) throw new Error(`docs/manual/${file} lacks the marks of what is generated`);
  return `${text.slice(0, before)}${marked}${text.slice(rest + END.length + 1)}`;
}
