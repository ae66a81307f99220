import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { scratchDirectory } from '#base/scratch-directory.fixture.ts';
import { buildToolsCheck, kvmCheck } from './doctor-checks.ts';

const scratch = scratchDirectory('doctor');

test('KVM is there when a machine booted on it, not when its device opens', () => {
  const device = join(scratch, 'kvm');
  assert.equal(kvmCheck(scratch, device).verdict, 'absent');
  writeFileSync(device, '');
  assert.match(kvmCheck(scratch, device).detail, /trial boot/);
  mkdirSync(join(scratch, 'run'));
  const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  const keep = (key: string, accelerator: string): void =>
    writeFileSync(join(scratch, 'run/accelerator.json'), JSON.stringify({ key, accelerator, note: 'it crawls' }));
  keep(`${boot} QEMU`, 'tcg');
  const failed = kvmCheck(scratch, device);
  assert.equal(failed.verdict, 'absent');
  assert.match(failed.detail, /it crawls/);
  keep(`${boot} QEMU`, 'kvm');
  assert.match(kvmCheck(scratch, device).detail, /booted a machine/);
  keep('another-boot QEMU', 'tcg');
  assert.equal(kvmCheck(scratch, device).verdict, 'ok', 'what was so before the last start of the computer');
});

test('what is missing to build images is named with its packages', () => {
  const { verdict, detail } = buildToolsCheck(scratch);
  assert.equal(verdict, 'absent');
  assert.match(detail, /sgdisk.*Debian's packages: .*gdisk/);
});
