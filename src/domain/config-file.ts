/** The configuration's file, in the top folder of the work tree. Apart from config.ts, whose libraries few commands need. */
export const configFileName = '.git-env.yaml'
