import Gemma4

/// Keys and values of ended sequences and of shared prefixes, for prompts with the same prefix. LRU eviction.
struct PrefixCache {
    private struct Entry {
        let units: [PromptUnit]
        let cache: KVCache
        var lastUse: Int
    }

    private var entries: [Entry] = []
    private var clock = 0

    /// A prefix of a prompt that is in a cache.
    struct Match {
        /// Length of the common prefix; the cache may hold fewer of its units in usable form.
        let common: Int
        /// The keys and values of the first `cache.length` units; nil if none can be used.
        let cache: KVCache?

        var usable: Int { cache?.length ?? 0 }
    }

    /// Bytes of all pages; pages shared between entries count once.
    var byteCount: Int {
        var pages: [ObjectIdentifier: Int] = [:]
        for entry in entries { entry.cache.addPages(to: &pages) }
        return pages.values.reduce(0, +)
    }

    /// The longest usable prefix of `units`, excluding at least the last unit, because a sequence needs the output of
    /// its last token.
    ///
    /// - Parameters:
    ///   - others: caches of running sequences and the units that they hold.
    ///   - floor: the largest position, at most the given one, at which a slice of the prompt may start.
    mutating func match(
        _ units: [PromptUnit], others: [(units: ArraySlice<PromptUnit>, cache: KVCache)], floor: (Int) -> Int
    ) -> Match {
        clock += 1
        var (common, usable, donor, used) = (0, 0, KVCache?.none, Int?.none)
        func consider(_ candidate: some Collection<PromptUnit>, _ cache: KVCache) -> Bool {
            let equal = units.commonPrefixCount(candidate)
            common = max(common, floor(equal))
            let length = floor(min(equal, cache.length, units.count - 1))
            guard length > usable, length == cache.length || length >= cache.shortestTruncation else { return false }
            (usable, donor) = (length, cache)
            return true
        }
        for (index, entry) in entries.enumerated() where consider(entry.units, entry.cache) { used = index }
        for other in others where consider(other.units, other.cache) { used = nil }
        if let used { entries[used].lastUse = clock }
        let fork = donor?.fork()
        _ = fork?.truncate(to: usable)
        return Match(common: common, cache: fork)
    }

    /// The caches from which a prompt that starts with `units` can continue, shortest first: that of the longest
    /// prefix, and the longest of those to which it cannot be truncated.
    func states(of units: [PromptUnit]) -> [KVCache] {
        func longest(within limit: Int) -> KVCache? {
            var (length, found) = (0, KVCache?.none)
            for entry in entries {
                let equal = min(units.commonPrefixCount(entry.units), limit)
                guard equal > length, equal == entry.cache.length || equal >= entry.cache.shortestTruncation else {
                    continue
                }
                (length, found) = (equal, entry.cache)
            }
            let fork = found?.fork()
            _ = fork?.truncate(to: length)
            return fork
        }
        guard let last = longest(within: units.count) else { return [] }
        return [longest(within: last.shortestTruncation - 1), last].compactMap(\.self)
    }

    /// Keeps a cache. Drops the entries that it makes redundant because it can be truncated to each of them.
    ///
    /// - Parameter units: one for each position of `cache`.
    mutating func insert(_ units: [PromptUnit], _ cache: KVCache) {
        guard !units.isEmpty else { return }
        precondition(units.count == cache.length, "PrefixCache: \(units.count) units, \(cache.length) positions")
        clock += 1
        entries.removeAll {
            $0.units.count <= units.count && $0.units.count >= cache.shortestTruncation && units.starts(with: $0.units)
        }
        entries.append(Entry(units: units, cache: cache, lastUse: clock))
    }

    /// Evicts the least recently used entries until at most `byteCount` bytes are left.
    mutating func shrink(to byteCount: Int) {
        while !entries.isEmpty, self.byteCount > byteCount {
            entries.remove(at: entries.indices.min { entries[$0].lastUse < entries[$1].lastUse }!)
        }
    }
}
