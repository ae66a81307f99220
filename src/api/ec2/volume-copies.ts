import type { Handler } from '#api/handler.ts';
import { kmsCallOf } from '#api/kms/calls.ts';
import { copyVolume } from '#control/volume-copies.ts';
import { findVolume } from '#control/volumes.ts';
import { refuse } from '#domain/errors.ts';
import { parseVolumeType } from '#domain/volume-type.ts';
import type { InputOf, OutputOf } from '#wire/aws/operations.ts';
import { clientToken } from './client-token.ts';
import { endDryRun } from './dry-run.ts';
import { invalidCombination, invalidValue } from './errors.ts';
import { requireVolumeId } from './ids.ts';
import { parseTagSpecifications } from './tag-rules.ts';
import { checkChangedShape, checkPositive } from './volume-rules.ts';
import { createdVolumeView } from './volume-views.ts';

type CopyVolumesRequest = InputOf<'ec2', 'CopyVolumes'>;

export const copyVolumes: Handler<CopyVolumesRequest, OutputOf<'ec2', 'CopyVolumes'>> = async (context, request) => {
  const { ports, scope } = context;
  const source = requireVolumeId(request.SourceVolumeId, 'SourceVolumeId');
  const tags = parseTagSpecifications(request.TagSpecifications, 'volume');
  const token = clientToken(request.ClientToken, context);
  if (request.KmsKeyId !== undefined && request.Encrypted !== true) {
    throw invalidCombination('The parameter KmsKeyId requires the parameter Encrypted to be set.');
  }
  const volume = await findVolume(ports, scope, source);
  if (volume.state !== 'available')
    refuse({ kind: 'wrong-state', resource: 'volume', id: source, state: volume.state });
  const { Size: size, Iops: iops, Throughput: throughput, MultiAttachEnabled: multiAttach } = request;
  const type = request.VolumeType === undefined ? null : parseVolumeType(request.VolumeType);
  checkPositive('size', size);
  if (size !== undefined && size < volume.sizeGib) {
    throw invalidValue(
      `Volume of size ${size}GB is smaller than volume '${source}', expect size >= ${volume.sizeGib}GB`,
    );
  }
  const target = type ?? volume.type;
  checkChangedShape(volume, target, { size, iops, throughput, multiAttach });
  endDryRun(request);
  const copy = await copyVolume(ports, scope, {
    source,
    sizeGib: size ?? null,
    type,
    iops: iops ?? null,
    throughputMibps: throughput ?? null,
    multiAttach: multiAttach ?? null,
    encryption: { isEncrypted: request.Encrypted === true, key: request.KmsKeyId ?? null },
    caller: kmsCallOf(context).caller,
    tags,
    token,
  });
  return { Volumes: [createdVolumeView(copy)] };
};
