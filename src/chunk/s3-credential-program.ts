import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

import { credentialsOf } from './s3-credential-endpoints.ts';
import { CredentialsError, type Environment, type FoundCredentials } from './s3-found-credentials.ts';

/** It may ask somebody, or a network. */
const TIMEOUT_MS = 60_000;
const OUTPUT_BYTES_MAX = 64 * 1024;

/** What the program of a profile's `credential_process` prints; the line is the shell's, as for the AWS tools. */
export async function programCredentials(
  line: string,
  environment: Environment,
  signal: AbortSignal,
): Promise<FoundCredentials> {
  const options = { env: { ...environment }, signal, timeout: TIMEOUT_MS, maxBuffer: OUTPUT_BYTES_MAX };
  let output: string;
  try {
    ({ stdout: output } = await promisify(execFile)('/bin/sh', ['-c', line], options));
  } catch (error) {
    signal.throwIfAborted();
    // Its output is not shown: it may hold a secret.
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'no code';
    throw new CredentialsError(`the program of credential_process ended with ${code}`, { retryable: true });
  }
  return credentialsOf(output, 'the program of credential_process', 'SessionToken');
}
