import { testSnapshotHistory } from '../contract/snapshot-history.ts'
import { gitSandbox } from '../support/git-sandbox.ts'
import { memoryHistory } from '../support/memory-history.ts'

testSnapshotHistory('isomorphic-git in memory', memoryHistory)

testSnapshotHistory('git', async () => {
  const box = await gitSandbox()
  const repository = await box.open()
  const commitFile = async (name: string, content: string) => {
    box.write(name, content)
    return box.commit(`add ${name}`)
  }
  return Object.assign(repository, { commitFile })
})
