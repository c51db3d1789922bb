/** The user of this process; undefined: root, who alone may give files to others, and change those of others. */
export function ordinaryUser(): number | undefined {
  const user = process.geteuid?.()
  return user === 0 ? undefined : user
}
