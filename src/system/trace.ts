/**
 * Told of every durable step, right after it: what a person may follow with `GIT_ENV_TRACE=1`,
 * and where the tests kill the process to prove that nothing is left between.
 */
export type Trace = (step: string) => void
