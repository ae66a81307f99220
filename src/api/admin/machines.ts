import { consoleOf, sshAccessOf } from '#control/machines/operator.ts';
import type { ControlPorts } from '#control/ports.ts';

/** Of a console: more than fills a terminal's memory. */
const CONSOLE_BYTES_MAX = 64 * 1024;

type Body = Readonly<Record<string, unknown>>;

export async function answerSsh(ports: ControlPorts, name: string): Promise<Body> {
  const { instance, address, port, userName, privateKey } = await sshAccessOf(ports, name);
  const { id, account, region } = instance;
  return { id, account, region, address, port, userName, privateKey };
}

export async function answerConsole(ports: ControlPorts, name: string): Promise<Body> {
  return { base64: (await consoleOf(ports, name, CONSOLE_BYTES_MAX)).toString('base64') };
}
