import { parseCommand } from './arguments/parse-command.ts';
import { ClientError, type Call, type Command, type Reply, type Surroundings } from './command.ts';
import type { Connection } from './connection/connection.ts';

/** Performs one line of words as the AWS command line does. Resolves with the exit code; what went wrong is on standard error. */
export async function runClient(words: readonly string[], surroundings: Surroundings): Promise<number> {
  try {
    await perform(await parseCommand(words, surroundings), surroundings);
    return 0;
  } catch (error) {
    if (!(error instanceof ClientError)) throw error;
    surroundings.stderr.write(error.message);
    return error.exitCode;
  }
}

async function perform(command: Command, surroundings: Surroundings): Promise<void> {
  switch (command.kind) {
    case 'print':
      surroundings.stdout.write(command.text);
      return;
    case 'help': {
      const { showHelp } = await import('./help/show-help.ts');
      await showHelp(command, surroundings);
      return;
    }
    case 'wait': {
      const { openConnection } = await import('./connection/connection.ts');
      const connection = await openConnection(command.call, surroundings);
      await connection.wait(command);
      return;
    }
    case 'document':
    case 'call': {
      const { openConnection } = await import('./connection/connection.ts');
      const { writeDocument, writeOutput } = await import('./output/write-output.ts');
      const connection = await openConnection(command, surroundings);
      const { service, operation, commandName, globals } = command;
      const how = {
        service,
        operation,
        commandName,
        format: globals.output ?? connection.settings.output,
        query: globals.query,
        color: globals.color,
      };
      if (command.kind === 'document') await writeDocument({ ...how, document: command.document }, surroundings);
      else await writeOutput({ ...how, reply: await replyTo(command, connection) }, surroundings);
    }
  }
}

async function replyTo(call: Call, connection: Connection): Promise<Reply> {
  const reply = await connection.call(call);
  if (call.launchKey === undefined) return reply;
  const { replyWithPassword } = await import('./arguments/launch-key.ts');
  return replyWithPassword(reply, call.launchKey);
}
