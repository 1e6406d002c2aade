import ArgumentParser
import JSONText
import Tokenization

/// Inputs that a file lists, and a part of them for each of several machines: shared by `transcribe`, `translate` and `caption`.
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

    /// Whether this is one of many runs: each result has a file of its own, and the run ends with its counts.
    var isGiven: Bool { manifest != nil || shard != nil }

    /// The inputs of this run.
    ///
    /// - Parameters:
    ///   - files: the arguments that name inputs.
    ///   - expand: the inputs that they name.
    /// - Throws: `ValidationError`; `CommandError` if the manifest cannot be read; what `expand` throws.
    func inputs(_ files: [String], expand: ([String]) throws -> [InputFile]) throws -> [InputFile] {
        if manifest != nil, !files.isEmpty { throw ValidationError("give either files or --manifest") }
        let all = if let manifest { try Manifest.inputs(manifest) } else { try expand(files) }
        guard let shard else { return all }
        return all.filter { shard.contains($0.key) }
    }

    /// Writes the counts of a run on standard output, an object in a line.
    ///
    /// - Throws: `CommandError` if it cannot be written.
    func write(_ counts: CorpusCounts) throws(CommandError) {
        guard isGiven else { return }
        let shard = shard ?? Shard(index: 1, count: 1)
        try ByteSink.standardOutput.write(counts.object(shard).json + "\n")
    }
}

/// One of several parts of a corpus.
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

    /// Whether an input belongs to it. That is decided by the hash of its key alone: each is in one shard, whatever else a
    /// list holds and in which order.
    func contains(_ key: String) -> Bool {
        // 60 bits.
        let hash = UInt64(SHA256.hex(key.utf8).prefix(15), radix: 16)!
        return Int(hash % UInt64(count)) == index - 1
    }
}

/// What became of the inputs of a run: each is counted once.
struct CorpusCounts: Equatable {
    let inputs: Int
    /// Their results were there.
    let skipped: Int
    let failed: Int
    /// Not finished when the run was stopped.
    let stopped: Int

    var done: Int { inputs - skipped - failed - stopped }

    func object(_ shard: Shard) -> JSONValue {
        [
            "shard": .string("\(shard.index)/\(shard.count)"), "inputs": .integer(inputs), "done": .integer(done),
            "skipped": .integer(skipped), "failed": .integer(failed), "stopped": .integer(stopped),
        ]
    }
}
