import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';

import { scratchDirectory } from '#base/scratch-directory.fixture.ts';
import { FakeS3Server } from '#chunk/s3-server.fake.ts';

import { requireTool } from '../clients.ts';
import { run, runOk } from '../run.ts';

const directory = scratchDirectory('s3-tls');

test('s3 over https: with an authority that is trusted, and what is said of one that is not', async (t) => {
  if (!requireTool(t, 'openssl')) return;
  const [keyPath, certPath] = [join(directory, 'key.pem'), join(directory, 'cert.pem')];
  const about = ['-subj', '/CN=store', '-addext', 'subjectAltName=IP:127.0.0.1', '-days', '2'];
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  await runOk('openssl', ['req', '-x509', ...newKey, '-keyout', keyPath, '-out', certPath, ...about]);
  await using fake = await FakeS3Server.start({
    key: readFileSync(keyPath, 'utf8'),
    cert: readFileSync(certPath, 'utf8'),
  });
  const { bucket, region, endpoint } = fake.location();
  const script = [join(import.meta.dirname, 'put-and-get.ts'), bucket, region, endpoint ?? ''];
  const { NODE_EXTRA_CA_CERTS: _none, ...rest } = process.env;
  const env = { ...(rest as Record<string, string>), ...fake.environment() };

  const trusted = await runOk(process.execPath, script, { env: { ...env, NODE_EXTRA_CA_CERTS: certPath } });
  assert.equal(trusted.stdout, 'the same');
  const untrusted = await run(process.execPath, script, { env });
  assert.notEqual(untrusted.code, 0);
  assert.match(
    untrusted.stderr,
    /cannot be used: list: no secure connection \(.*self-signed.*\); NODE_EXTRA_CA_CERTS names a file/,
  );
});
