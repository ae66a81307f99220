export interface ProductCodeView {
  readonly ProductCodeId: string;
  readonly ProductCodeType: 'marketplace';
}

/** Codes of the AWS Marketplace, in the order in which the volume got them. */
export function productCodeViews(codes: readonly string[]): readonly ProductCodeView[] {
  return codes.map((code) => ({ ProductCodeId: code, ProductCodeType: 'marketplace' }));
}
