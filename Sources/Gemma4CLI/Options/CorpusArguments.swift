import ArgumentParser
import JSONText
import Tokenization

/// Inputs from a manifest, and shards for several machines: shared by `transcribe`, `translate` and `caption`.
struct CorpusArguments: ParsableArguments {
    @Option(help: ArgumentHelp("Inputs, one a line: a path, or {\"path\", \"id\"}.", valueName: "file"))
    var manifest: String?

    @Option(
        help: ArgumentHelp("Do the I-th of N parts, from 1 on.", valueName: "I/N"),
        transform: {
            guard let shard = Shard($0) else { throw ValidationError("expected I/N with I from 1 to N, such as 2/8") }
            return shard
        })
    var shard: Shard?

    /// Whether this is a corpus run: each result has its own file, and the run ends with its counts.
    var isGiven: Bool { manifest != nil || shard != nil }

    /// The inputs of this run.
    ///
    /// - Parameters:
    ///   - files: the arguments that name inputs.
    ///   - expand: expands arguments to inputs.
    /// - Throws: `ValidationError`; `CommandError` if the manifest cannot be read; rethrows errors of `expand`.
    func inputs(_ files: [String], expand: ([String]) throws -> [InputFile]) throws -> [InputFile] {
        if manifest != nil, !files.isEmpty { throw ValidationError("give either files or --manifest") }
        let all = if let manifest { try Manifest.inputs(manifest) } else { try expand(files) }
        guard let shard else { return all }
        return all.filter { shard.contains($0.key) }
    }

    /// Writes the counts of a run to standard output, as one line of JSON.
    ///
    /// - Throws: `CommandError` if it cannot be written.
    func write(_ counts: CorpusCounts) throws(CommandError) {
        guard isGiven else { return }
        let shard = shard ?? Shard(index: 1, count: 1)
        try ByteSink.standardOutput.write(counts.object(shard).json + "\n")
    }
}

/// One of several shards of a corpus.
struct Shard: Equatable {
    /// From 1 to `count`.
    let index, count: Int

    init(index: Int, count: Int) { (self.index, self.count) = (index, count) }

    /// `2/8` is the second of eight.
    init?(_ text: String) {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false).map { Int($0) }
        guard parts.count == 2, let index = parts[0], let count = parts[1], index >= 1, index <= count
        else { return nil }
        self.init(index: index, count: count)
    }

    /// Whether an input belongs to this shard, which depends only on the hash of its key: each input is in one shard,
    /// whatever else a manifest lists and in which order.
    func contains(_ key: String) -> Bool {
        // 60 bits.
        let hash = UInt64(SHA256.hex(key.utf8).prefix(15), radix: 16)!
        return Int(hash % UInt64(count)) == index - 1
    }
}

/// Counts of a run; each input is counted once.
struct CorpusCounts: Equatable {
    let inputs: Int
    /// Skipped because their results exist.
    let skipped: Int
    let failed: Int
    /// Unfinished when the run was stopped.
    let stopped: Int

    var done: Int { inputs - skipped - failed - stopped }

    func object(_ shard: Shard) -> JSONValue {
        [
            "shard": .string("\(shard.index)/\(shard.count)"), "inputs": .integer(inputs), "done": .integer(done),
            "skipped": .integer(skipped), "failed": .integer(failed), "stopped": .integer(stopped),
        ]
    }
}
