#!lua name=hubbub1
-- What hubbub does inside Redis or Valkey, each function in one step. KEYS[1] is the prefix of all keys and of all
-- pub/sub channels: "hb", or "hb{tag}" on a cluster, where it also says which shard is meant.
--
--   <prefix>:mark          HASH    g generation, r replication id, n calls so far, b calls when this run began
--   <prefix>:m:<channel>   HASH    e epoch, s top, g generation, k kept until, y list expires, x this expires,
--                                  v version, w what it is a version of
--   <prefix>:l:<channel>   LIST    what is kept, the last entry is the top's
--   <prefix>:i:<n>:<channel>:<key>   STRING   offset and epoch of the first publication with that key
--   <prefix>:p:<channel>   HASH    client -> node, user and info
--   <prefix>:u:<channel>   HASH    user -> how many clients
--   <prefix>:n:<node>      HASH    channel -> how many clients
--   <prefix>:nodes         ZSET    node -> when it last gave a sign of life
--   <prefix>:c:<channel>   pub/sub "h1", the epoch, the first offset, a blank, entries
--   <prefix>:k:<node>      pub/sub control messages
--
-- An entry is 4 bytes for its size, 12 for the publication's id, and the body. Times are milliseconds since 1970, by
-- the clock of the server. Whatever is checked is checked before the first write, for there is no going back.

local REVISION = 1
local POSITION_TTL = 30 * 86400000
local NUMBERS_TTL = 86400000
local KEY_TTL = 300000

local function milliseconds()
    local time = redis.call('TIME')
    return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- Something that was never there before.
local function fresh(about)
    local time = redis.call('TIME')
    return string.sub(redis.sha1hex(time[1] .. '.' .. time[2] .. '.' .. about), 1, 8)
end

local function replication_id()
    return string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)') or ''
end

-- The generation of the data. Another replication id means that the server was started again or has been promoted:
-- it may have lost the latest publications, so positions of before it are void.
local function generation(prefix)
    local id = replication_id()
    local mark = redis.call('HMGET', prefix .. ':mark', 'g', 'r')
    if mark[1] and mark[2] == id then
        return mark[1]
    end
    local new = fresh(id)
    redis.call('HSET', prefix .. ':mark', 'g', new, 'r', id, 'b', redis.call('HGET', prefix .. ':mark', 'n') or '0')
    return new
end

-- A node has connected, and says what it saw before: generation, replication id, number of calls. If the server is
-- trusted to have lost nothing when it was started again, the generation stays, unless the node knows better.
local function meet(keys, args)
    local prefix, trusted = keys[1], args[1] == '1'
    local id = replication_id()
    local mark = redis.call('HMGET', prefix .. ':mark', 'g', 'r', 'n', 'b')
    local calls = mark[3] or '0'
    if mark[1] and mark[2] ~= id and trusted then
        redis.call('HSET', prefix .. ':mark', 'r', id, 'b', calls)
        mark[2], mark[4] = id, calls
    end
    local then_calls = args[3] == id and calls or mark[4] or '0'
    if mark[1] and mark[1] == args[2] and tonumber(args[4]) > tonumber(then_calls) then
        redis.call('HSET', prefix .. ':mark', 'g', fresh(id))
    end
    return { generation(prefix), id, tonumber(calls) }
end

-- The channel: its state, made when there is none or it is void.
local function open(prefix, name, g)
    local meta = prefix .. ':m:' .. name
    local f = redis.call('HMGET', meta, 'e', 's', 'g', 'k', 'y', 'x', 'v', 'w')
    local channel = {
        meta = meta,
        list = prefix .. ':l:' .. name,
        epoch = f[1],
        top = tonumber(f[2]),
        kept = tonumber(f[4] or '0'),
        list_ends = tonumber(f[5] or '0'),
        ends = tonumber(f[6] or '0'),
        version = f[7],
        version_epoch = f[8],
    }
    if not channel.epoch or f[3] ~= g then
        channel.epoch, channel.top, channel.kept, channel.list_ends = fresh(name .. g), 0, 0, 0
        redis.call('DEL', channel.list)
        redis.call('HSET', meta, 'e', channel.epoch, 's', '0', 'g', g, 'k', '0', 'y', '0')
    end
    return channel
end

-- Let it live for so long from now on, and for an eighth more, so that few publications have to say so.
local function prolong(channel, now, lasts)
    if now + lasts > channel.ends then
        channel.ends = now + math.floor(lasts * 9 / 8)
        redis.call('HSET', channel.meta, 'x', channel.ends)
        redis.call('PEXPIREAT', channel.meta, channel.ends)
    end
end

local function empty(channel)
    redis.call('DEL', channel.list)
    channel.kept, channel.list_ends = 0, 0
end

-- Keep these entries, and no more than size of all.
local function keep(channel, now, size, ttl, entries)
    if channel.kept > 0 and channel.kept <= now then
        empty(channel)
    end
    local length = redis.call('RPUSH', channel.list, unpack(entries))
    if length > size then
        redis.call('LTRIM', channel.list, -size, -1)
    end
    channel.kept = now + ttl
    if length == #entries or channel.kept > channel.list_ends then
        channel.list_ends = channel.kept + math.floor(ttl / 8)
        redis.call('PEXPIREAT', channel.list, channel.list_ends)
    end
end

-- Whether a version is above another one: numbers of up to 19 digits, which Lua's own cannot tell apart.
local function above(version, other)
    if #version ~= #other then
        return #version > #other
    end
    return version > other
end

-- Append so many entries, and hand them over. Size 0: nothing is kept. Returns the first one's offset, and the epoch.
local function run(prefix, name, g, now, count, size, ttl, entries, guard)
    local guarded, known
    if guard and guard.key ~= '' then
        guarded = prefix .. ':i:' .. #name .. ':' .. name .. ':' .. guard.key
        known = redis.call('GET', guarded)
        if known then
            return tonumber(string.sub(known, 10)), string.sub(known, 1, 8) .. 'R'
        end
    end
    local channel = open(prefix, name, g)
    if guard and guard.version ~= '0' then
        local alike = guard.version_epoch == '' or guard.version_epoch == (channel.version_epoch or '')
        if channel.version and alike and not above(guard.version, channel.version) then
            prolong(channel, now, NUMBERS_TTL)
            return channel.top, channel.epoch .. 'O'
        end
        local epoch = guard.version_epoch ~= '' and guard.version_epoch or channel.version_epoch or ''
        redis.call('HSET', channel.meta, 'v', guard.version, 'w', epoch)
    end
    local first = channel.top + 1
    if size > 0 then
        keep(channel, now, size, ttl, entries)
    elseif channel.kept > 0 then
        empty(channel)
    end
    channel.top = channel.top + count
    redis.call('HSET', channel.meta, 's', channel.top, 'k', channel.kept, 'y', channel.list_ends)
    prolong(channel, now, size > 0 and math.max(POSITION_TTL, ttl) or NUMBERS_TTL)
    if guarded then
        redis.call('SET', guarded, channel.epoch .. ' ' .. string.format('%d', first), 'PX', KEY_TTL)
    end
    local message = 'h1' .. channel.epoch .. string.format('%d', first) .. ' ' .. table.concat(entries)
    redis.call(string.find(prefix, '{', 1, true) and 'SPUBLISH' or 'PUBLISH', prefix .. ':c:' .. name, message)
    return first, channel.epoch
end

-- Runs of publications: each is a channel, how many, size, ttl; where how many is 0, it is one, and key, version and
-- what that is a version of follow; then the entries, which are joined into one where nothing is kept.
-- Returns how often this was called, then for each run the first offset and the epoch, with an R behind it if the key
-- was used before, and an O if the version was not above the latest; or what went wrong, and nothing.
local function append(keys, args)
    local prefix, at, results = keys[1], 1, { 0 }
    local g, now = generation(prefix), milliseconds()
    results[1] = redis.call('HINCRBY', prefix .. ':mark', 'n', 1)
    while at <= #args do
        local name, count = args[at], tonumber(args[at + 1])
        local size, ttl, guard = tonumber(args[at + 2]), tonumber(args[at + 3]), nil
        at = at + 4
        if count == 0 then
            count, guard = 1, { key = args[at], version = args[at + 1], version_epoch = args[at + 2] }
            at = at + 3
        end
        local entries = {}
        for n = 1, size > 0 and count or 1 do
            entries[n] = args[at]
            at = at + 1
        end
        local well, offset, epoch = pcall(run, prefix, name, g, now, count, size, ttl, entries, guard)
        if not well then
            epoch, offset = '', type(offset) == 'table' and offset.err or tostring(offset)
        end
        results[#results + 1] = offset
        results[#results + 1] = epoch
    end
    return results
end

-- For programs in any language: FCALL hubbub1_publish 1 hb CHANNEL MESSAGE [SIZE TTL [KEY]]. A channel whose name is
-- text, and a message in UTF-8; SIZE publications are kept for TTL seconds; KEY is an idempotency key.
-- Returns the publication's offset and epoch, and "repeated" if the key was used before.
local function publish(keys, args)
    local name, message, size, ttl = args[1], args[2], tonumber(args[3] or '0'), tonumber(args[4] or '0')
    if #keys ~= 1 or not message or not size or not ttl then
        return redis.error_reply('ERR usage: FCALL hubbub1_publish 1 hb CHANNEL MESSAGE [SIZE TTL [KEY]]')
    end
    if size < 0 or size > 100000 or size % 1 ~= 0 or (size > 0 and (ttl < 0.1 or ttl > 3e9)) then
        return redis.error_reply('ERR the size is 0 to 100000, and the ttl 0.1 seconds at least')
    end
    local prefix, now, g = keys[1], milliseconds(), generation(keys[1])
    local calls = redis.call('HINCRBY', prefix .. ':mark', 'n', 1)
    local id = 'lua\0' .. struct.pack('>I8', tonumber(string.sub(redis.sha1hex(g .. calls), 1, 12), 16))
    local entry = struct.pack('>I4', #message + 1) .. id .. 't' .. message
    local guard = { key = args[5] or '', version = '0', version_epoch = '' }
    local ttl_ms = math.floor(ttl * 1000)
    local offset, epoch = run(prefix, 's:' .. name, g, now, 1, size, ttl_ms, { entry }, guard)
    return { offset, string.sub(epoch, 1, 8), #epoch > 8 and 'repeated' or '' }
end

-- For each channel its top and epoch; -1 where it has no position.
local function positions(keys, args)
    local prefix, results = keys[1], {}
    local g = generation(prefix)
    for n, name in ipairs(args) do
        local top, epoch = -1, ''
        if redis.call('EXISTS', prefix .. ':m:' .. name) == 1 then
            local channel = open(prefix, name, g)
            top, epoch = channel.top, channel.epoch
        end
        results[2 * n - 1] = top
        results[2 * n] = epoch
    end
    return results
end

-- Channel, since which offset ("": from the end), of which epoch, how many at the most, and 1 for the newest first.
-- Returns top, epoch, the offset before the oldest that is kept, whether since is known (1), the first entry's offset,
-- and entries, oldest first.
local function history(keys, args)
    local prefix, name, limit = keys[1], args[1], tonumber(args[4])
    local now = milliseconds()
    local channel = open(prefix, name, generation(prefix))
    prolong(channel, now, NUMBERS_TTL)
    local top = channel.top
    local length = channel.kept > now and redis.call('LLEN', channel.list) or 0
    local oldest = top - length
    local since = tonumber(args[2])
    local known = not since or (args[3] == channel.epoch and since <= top)
    local from, to = oldest + 1, top
    if args[5] == '1' then
        to = since and known and math.min(since - 1, top) or top
        from = math.max(from, to - limit + 1)
    else
        from = since and known and math.max(since + 1, from) or from
        to = math.min(top, from + limit - 1)
    end
    local entries = {}
    if from <= to then
        entries = redis.call('LRANGE', channel.list, from - oldest - 1, to - oldest - 1)
    end
    return { top, channel.epoch, oldest, known and 1 or 0, from, entries }
end

local function forget(keys, args)
    local prefix, now = keys[1], milliseconds()
    local channel = open(prefix, args[1], generation(prefix))
    prolong(channel, now, NUMBERS_TTL)
    empty(channel)
    redis.call('HSET', channel.meta, 'k', '0', 'y', '0')
end

-- Presence. A client's value is its node, 4 bytes for the size of its user, the user, and the info.

local function user_of(value)
    return string.sub(value, 11, 10 + struct.unpack('>I4', value, 7))
end

local function count(key, field, by)
    if redis.call('HINCRBY', key, field, by) <= 0 then
        redis.call('HDEL', key, field)
    end
end

local function drop(prefix, name, client, value)
    redis.call('HDEL', prefix .. ':p:' .. name, client)
    count(prefix .. ':u:' .. name, user_of(value), -1)
    count(prefix .. ':n:' .. string.sub(value, 1, 6), name, -1)
end

-- A node, then changes: channel, client, and a value, or nothing for a client that is gone.
local function present(keys, args)
    local prefix, node = keys[1], args[1]
    redis.call('ZADD', prefix .. ':nodes', milliseconds(), node)
    for at = 2, #args, 3 do
        local name, client, value = args[at], args[at + 1], args[at + 2]
        local before = redis.call('HGET', prefix .. ':p:' .. name, client)
        local late = value == '' and before and string.sub(before, 1, 6) ~= node
        if before and not late then
            drop(prefix, name, client, before)
        end
        if value ~= '' then
            redis.call('HSET', prefix .. ':p:' .. name, client, value)
            count(prefix .. ':u:' .. name, user_of(value), 1)
            count(prefix .. ':n:' .. node, name, 1)
        end
    end
end

-- Channel, and how many entries at the most, or "". Returns the numbers of clients and users, clients and values.
local function presence(keys, args)
    local clients, limit, entries = keys[1] .. ':p:' .. args[1], args[2], nil
    if limit == '' then
        entries = redis.call('HGETALL', clients)
    else
        entries = redis.call('HRANDFIELD', clients, limit, 'WITHVALUES')
    end
    return { redis.call('HLEN', clients), redis.call('HLEN', keys[1] .. ':u:' .. args[1]), entries }
end

-- Drop some of what a node has put: node, channel and cursor, as the last call returned them, or "" and 0, and how many
-- of the channel were dropped since cursor 0.
-- Returns channel, cursor, and of those that were dropped client and user; no channel: that was all.
local function evict(keys, args)
    local prefix, node, name, cursor = keys[1], args[1], args[2], args[3]
    local mine = prefix .. ':n:' .. node
    if name == '' or (cursor == '0' and redis.call('HEXISTS', mine, name) == 0) then
        name = redis.call('HRANDFIELD', mine)
        if not name then
            redis.call('ZREM', prefix .. ':nodes', node)
            return { '', '0', {} }
        end
    end
    local dropped = {}
    local scanned = redis.call('HSCAN', prefix .. ':p:' .. name, cursor, 'COUNT', 500)
    for at = 1, #scanned[2], 2 do
        local client, value = scanned[2][at], scanned[2][at + 1]
        if string.sub(value, 1, 6) == node and redis.call('HEXISTS', prefix .. ':p:' .. name, client) == 1 then
            drop(prefix, name, client, value)
            dropped[#dropped + 1] = client
            dropped[#dropped + 1] = user_of(value)
        end
    end
    if scanned[1] == '0' and #dropped == 0 and args[4] == '0' then
        redis.call('HDEL', mine, name)
    end
    return { name, scanned[1], dropped }
end

-- A node, and for how many milliseconds one may be silent. Returns those that have been for longer.
local function alive(keys, args)
    local nodes, now = keys[1] .. ':nodes', milliseconds()
    redis.call('ZADD', nodes, now, args[1])
    return redis.call('ZRANGEBYSCORE', nodes, '-inf', now - args[2], 'LIMIT', 0, 100)
end

redis.register_function('hubbub1_revision', function() return REVISION end)
redis.register_function('hubbub1_meet', meet)
redis.register_function('hubbub1_append', append)
redis.register_function('hubbub1_publish', publish)
redis.register_function('hubbub1_positions', positions)
redis.register_function('hubbub1_history', history)
redis.register_function('hubbub1_forget', forget)
redis.register_function('hubbub1_present', present)
redis.register_function('hubbub1_presence', presence)
redis.register_function('hubbub1_evict', evict)
redis.register_function('hubbub1_alive', alive)
