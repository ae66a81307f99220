import type { DlmOperations } from './models/dlm.ts';
import type { EbsOperations } from './models/ebs.ts';
import type { Ec2Operations } from './models/ec2.ts';
import type { IamOperations } from './models/iam.ts';
import type { KmsOperations } from './models/kms.ts';
import type { LightsailOperations } from './models/lightsail.ts';
import type { RbinOperations } from './models/rbin.ts';
import type { StsOperations } from './models/sts.ts';

/** Every service of the model and its operations, each with the shape of its input and output. */
export interface ServiceOperations {
  lightsail: LightsailOperations;
  ec2: Ec2Operations;
  ebs: EbsOperations;
  sts: StsOperations;
  kms: KmsOperations;
  iam: IamOperations;
  dlm: DlmOperations;
  rbin: RbinOperations;
}

export type ServiceName = keyof ServiceOperations;
export type OperationName<S extends ServiceName> = keyof ServiceOperations[S] & string;

type Shapes<S extends ServiceName, O extends OperationName<S>> = ServiceOperations[S][O];

/** What the codec gives a handler: required members are present, constraints of the model hold. */
export type InputOf<S extends ServiceName, O extends OperationName<S>> =
  Shapes<S, O> extends { input: infer Input } ? Input : never;

/** What a handler gives the codec. */
export type OutputOf<S extends ServiceName, O extends OperationName<S>> =
  Shapes<S, O> extends { output: infer Output } ? Output : never;
