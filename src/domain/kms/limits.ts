/** What KMS allows, as AWS's quotas have it. Every number has a unit in its name. */
export const KMS_LIMITS = {
  keyCountMax: 100_000,
  aliasesPerKeyMax: 50,
  grantsPerKeyMax: 50_000,
  tagsPerKeyMax: 50,
  onDemandRotationsMax: 25,
  policyCharactersMax: 32_768,
  plaintextBytesMax: 4096,
  randomBytesMax: 1024,
  deletionWindowDays: { min: 7, max: 30, standard: 30 },
  rotationPeriodDays: { min: 90, max: 2560, standard: 365 },
  /** How long the parameters of an import may be used. */
  importParametersMs: 24 * 3_600_000,
  importValidDaysMax: 365,
} as const;

export const DAY_MS = 24 * 3_600_000;
