/**
 * What must happen at once runs inside the server as a script: nobody sees anything between, and a server that dies has done all of it or nothing.
 * A spare index says by its claim, a key with the restore's id in its name, what it holds.
 */
export type ClaimState =
  /** Not all is there yet. */
  | 'staging'
  /** What comes. */
  | 'staged'
  /** What went: the swap is done. */
  | 'aside'
  /** What came and was taken back. */
  | 'taken back'

/** How a script's errors begin that say what it found. */
export const scriptError = 'GITENV'

/** The states of all spares: all `to`: done already; all of those before: go on. */
const beginning = `
local claim, to, count = ARGV[1], ARGV[2], tonumber(ARGV[3])
local done = 0
local function stateOf(spare)
  redis.call('SELECT', spare)
  return redis.call('GET', claim)
end
for nr = 0, count - 1 do
  local state = stateOf(ARGV[5 + 2 * nr])
  if state == to then
    done = done + 1
  elseif not state or state == 'staging' then
    return redis.error_reply('${scriptError} gone ' .. ARGV[5 + 2 * nr])
  end
end
if done == count then return 0 end
if done > 0 then return redis.error_reply('${scriptError} between') end
`

/** ARGV: claim, state to reach, count of pairs, pairs of index and spare, indexes that must have no keys. */
export const swapIndexes = `${beginning}
for nr = 4 + 2 * count, #ARGV do
  redis.call('SELECT', ARGV[nr])
  if redis.call('DBSIZE') > 0 then return redis.error_reply('${scriptError} late ' .. ARGV[nr]) end
end
for nr = 0, count - 1 do
  local index, spare = ARGV[4 + 2 * nr], ARGV[5 + 2 * nr]
  redis.call('SELECT', spare)
  redis.call('DEL', claim)
  redis.call('SELECT', index)
  redis.call('SET', claim, to)
  redis.call('SWAPDB', index, spare)
end
return 1`

/** ARGV: claim, state to reach, 1, index, spare, prefix of what comes, prefix of what goes, then keys and patterns with their kind before them. */
export const swapKeys = `${beginning}
local index, spare, comes, goes = ARGV[4], ARGV[5], ARGV[6], ARGV[7]
redis.call('SELECT', index)
for nr = 8, #ARGV, 2 do
  local names = { ARGV[nr + 1] }
  if ARGV[nr] == 'pattern' then names = redis.call('KEYS', ARGV[nr + 1]) end
  for _, name in ipairs(names) do
    if redis.call('EXISTS', name) == 1 then
      redis.call('RENAME', name, goes .. name)
      redis.call('MOVE', goes .. name, spare)
    end
  end
end
redis.call('SELECT', spare)
for _, name in ipairs(redis.call('KEYS', comes .. '*')) do
  if redis.call('MOVE', name, index) == 1 then
    redis.call('SELECT', index)
    redis.call('RENAME', name, string.sub(name, #comes + 1))
    redis.call('SELECT', spare)
  end
end
redis.call('SET', claim, to)
return 1`

/** Claims an index that has no keys. ARGV: claim, index. Gives how many keys it has. */
export const claimIndex = `
redis.call('SELECT', ARGV[2])
local keys = redis.call('DBSIZE')
if keys == 0 then redis.call('SET', ARGV[1], 'staging') end
return keys`

/** Empties the indexes that carry the claim, in one of these states, and counts them. ARGV: claim, states joined by a comma, indexes. */
export const dropClaimed = `
local count = 0
for nr = 3, #ARGV do
  redis.call('SELECT', ARGV[nr])
  local state = redis.call('GET', ARGV[1])
  if state and string.find(',' .. ARGV[2] .. ',', ',' .. state .. ',', 1, true) then
    redis.call('FLUSHDB', 'ASYNC')
    count = count + 1
  end
end
return count`
