/** `ec2 get-password-data --priv-launch-key FILE`: the password of a Windows instance, decrypted with the key that started it. */
import { constants, privateDecrypt } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { DocumentRecord, Reply } from '#client/command.ts';
import { failure } from '#client/failure.ts';

/**
 * The reply with its PasswordData decrypted. `keyPath`: of an RSA private key in PEM.
 * Throws ClientError where the key is none, or another.
 */
export function withDecryptedPassword(reply: DocumentRecord, keyPath: string): DocumentRecord {
  const encrypted = reply.PasswordData;
  if (typeof encrypted !== 'string' || encrypted === '') return reply;
  return { ...reply, PasswordData: decrypted(encrypted, keyPath) };
}

/** As above, of whatever way the reply is read. */
export function replyWithPassword(reply: Reply, keyPath: string): Reply {
  return {
    whole: async () => withDecryptedPassword(await reply.whole(), keyPath),
    pages: async function* pages() {
      for await (const page of reply.pages()) yield withDecryptedPassword(page, keyPath);
    },
    resumeToken: () => reply.resumeToken(),
    paged: reply.paged,
  };
}

function decrypted(encrypted: string, keyPath: string): string {
  try {
    const key = { key: readFileSync(keyPath), padding: constants.RSA_PKCS1_PADDING };
    return privateDecrypt(key, Buffer.from(encrypted, 'base64')).toString();
  } catch {
    throw failure('Unable to decrypt password data using provided private key file.');
  }
}
