/** Why a package was not built. The message names the cause and what to do about it. */
export type BuildErrorCode =
  | 'BUILD_PROJECT_INVALID'
  | 'BUILD_BUNDLE_FAILED'
  | 'BUILD_FLOWS_INVALID'
  | 'BUILD_SCHEMA_INVALID'
  | 'BUILD_GROUP_POLICY_INVALID'
  | 'BUILD_CPB_INVALID'
  | 'BUILD_SIGNING_KEY_INVALID'
  /** What was built does not pass verification: the signing certificate expired, or a file is over a bound. */
  | 'BUILD_REFUSED';

export class PackageBuildError extends Error {
  readonly code: BuildErrorCode;
  constructor(code: BuildErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'PackageBuildError';
    this.code = code;
  }
}
