import { readFile } from 'node:fs/promises';
import { createSecureContext } from 'node:tls';

import { ConfigError } from '#src/config.ts';

/** What HTTPS is spoken with. */
export interface TlsFiles {
  readonly key: string;
  readonly cert: string;
}

/** Reads and tries the certificate and its key, before anything is started. Throws ConfigError in words. */
export async function readTlsFiles(paths: { readonly certPath: string; readonly keyPath: string }): Promise<TlsFiles> {
  const { certPath, keyPath } = paths;
  const cert = await readPem('--tls-cert', certPath, 'CERTIFICATE');
  const key = await readPem('--tls-key', keyPath, 'PRIVATE KEY');
  try {
    createSecureContext({ cert, key });
  } catch (error) {
    const mismatch = error instanceof Error && 'code' in error && error.code === 'ERR_OSSL_X509_KEY_VALUES_MISMATCH';
    throw new ConfigError(
      mismatch
        ? `--tls-key: ${keyPath} is not the key of the certificate ${certPath}`
        : `--tls-cert ${certPath} and --tls-key ${keyPath} cannot be used`,
      mismatch ? {} : { cause: error },
    );
  }
  return { key, cert };
}

/** A text that holds a PEM block of this kind. */
async function readPem(option: string, path: string, kind: 'CERTIFICATE' | 'PRIVATE KEY'): Promise<string> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    throw new ConfigError(`${option}: ${path} cannot be read`, { cause: error });
  }
  if (text.trim() === '') throw new ConfigError(`${option}: ${path} is empty`);
  // Keys are of several kinds: PRIVATE KEY, EC PRIVATE KEY, RSA PRIVATE KEY.
  if (new RegExp(`-----BEGIN (?:[A-Z]+ )?${kind}-----`).test(text)) return text;
  const isLocked = text.includes('-----BEGIN ENCRYPTED PRIVATE KEY-----');
  throw new ConfigError(
    `${option}: ${path} holds no ${kind === 'CERTIFICATE' ? 'certificate' : 'private key'} in PEM form` +
      (isLocked ? ': the key is locked with a pass phrase; take it off first (openssl pkey -in OLD -out NEW)' : ''),
  );
}
