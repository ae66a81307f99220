import { parseCommand } from './arguments/parse-command.ts';
import { ClientError, type Call, type Command, type Reply, type Surroundings } from './command.ts';
import type { Connection } from './connection/connection.ts';
import { EXIT_FAILURE, osErrorText } from './failure.ts';

/** Performs one line of words as the AWS command line does. Resolves with the exit code; what went wrong is on standard error. */
export async function runClient(words: readonly string[], surroundings: Surroundings): Promise<number> {
  try {
    await perform(await parseCommand(words, surroundings), surroundings);
    return 0;
  } catch (error) {
    const { message, exitCode } = asClientError(error);
    surroundings.stderr.write(message);
    return exitCode;
  }
}

/** What the machine refuses ends a command as what a service refuses does; what is a fault of this program is thrown. */
function asClientError(error: unknown): ClientError {
  if (error instanceof ClientError) return error;
  if (error instanceof RangeError && error.message === 'Maximum call stack size exceeded') {
    return new ClientError('\nmaximum recursion depth exceeded\n', EXIT_FAILURE);
  }
  if (error instanceof Error && 'syscall' in error) return new ClientError(`\n${osErrorText(error)}\n`, EXIT_FAILURE);
  throw error;
}

async function perform(command: Command, surroundings: Surroundings): Promise<void> {
  switch (command.kind) {
    case 'print': {
      const { OutputStream } = await import('./output/output-stream.ts');
      const stream = new OutputStream(surroundings.stdout);
      stream.write(command.text);
      await stream.end();
      return;
    }
    case 'help': {
      const { showHelp } = await import('./help/show-help.ts');
      await showHelp(command, surroundings);
      return;
    }
    case 'wait': {
      const { openConnection } = await import('./connection/connection.ts');
      const connection = await openConnection(command.call, surroundings);
      try {
        await connection.wait(command);
      } finally {
        connection.close();
      }
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
      try {
        if (command.kind === 'document') await writeDocument({ ...how, document: command.document }, surroundings);
        else await writeOutput({ ...how, reply: await replyTo(command, connection) }, surroundings);
      } finally {
        connection.close();
      }
    }
  }
}

async function replyTo(call: Call, connection: Connection): Promise<Reply> {
  const reply = await connection.call(call);
  if (call.launchKey === undefined) return reply;
  const { replyWithPassword } = await import('./arguments/launch-key.ts');
  return replyWithPassword(reply, call.launchKey);
}
