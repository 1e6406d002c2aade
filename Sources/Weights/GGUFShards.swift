/// A model in GGUF: one file, or the shards into which it was split, `name-00001-of-00003.gguf` and so on.
///
/// The metadata is that of the first shard; the others hold only tensors.
package struct GGUFShards: Sendable {
    package let files: [GGUFFile]

    package var path: String { files[0].path }
    package var metadata: [String: GGUFValue] { files[0].metadata }

    /// - Parameters:
    ///   - path: the file, or any one of the shards.
    ///   - check: rejects a model by its path and metadata, before missing shards or tensors are reported.
    /// - Throws: `CheckpointError` if a shard is missing or a file is damaged; the errors of `check`.
    package init(
        _ path: String,
        check: (_ path: String, _ metadata: [String: GGUFValue]) throws(CheckpointError) -> Void = { _, _ in }
    ) throws(CheckpointError) {
        func checkFirst(_ path: String, _ metadata: [String: GGUFValue]) throws(CheckpointError) {
            if metadata["split.no"]?.integer ?? 0 == 0 { try check(path, metadata) }
        }
        let given = try GGUFFile(path, check: checkFirst)
        let count = given.metadata["split.count"]?.integer ?? 1
        guard count > 1 else {
            files = [given]
            return
        }
        guard let paths = Self.paths(like: path, count: count) else {
            throw CheckpointError(
                .invalidIndex, file: path, place: "split.count",
                expected: "a name that ends in -0000N-of-\(Self.padded(count)).gguf", found: "another",
                remedy: "Give the shards the names under which they were published.")
        }
        let missing = paths.filter { !isPresent($0) }
        guard missing.isEmpty else {
            throw CheckpointError(
                .missingShard, file: path, expected: "\(count) shards",
                found: missing.map { "no \($0.split(separator: "/").last ?? "")" }.joined(separator: ", "),
                remedy: "Download the missing shards.")
        }
        var files: [GGUFFile] = []
        for (index, path) in paths.enumerated() {
            let file = path == given.path ? given : try GGUFFile(path, check: checkFirst)
            let place = file.metadata["split.no"]?.integer
            guard place == index, file.metadata["split.count"]?.integer == count else {
                throw CheckpointError(
                    .invalidIndex, file: path, place: "split.no",
                    expected: "shard \(index) of \(count), counted from 0",
                    found: "\(place ?? 0) of \(file.metadata["split.count"]?.integer ?? 1)",
                    remedy: "Download the shards again; all must be of one version.")
            }
            files.append(file)
        }
        let total = files.reduce(0) { $0 + $1.tensors.count }
        if let expected = files[0].metadata["split.tensors.count"]?.integer, expected != total {
            throw CheckpointError(
                .invalidIndex, file: files[0].path, place: "split.tensors.count", expected: "\(expected) tensors",
                found: "\(total) in all shards", remedy: "Download the shards again; all must be of one version.")
        }
        self.files = files
    }

    /// The tensor of that name, in any shard; nil if there is none.
    package func tensor(_ name: String) -> GGUFFile.Entry? { files.lazy.compactMap { $0.tensor(name) }.first }

    /// The values of an f32 tensor; nil if there is none of that name.
    package func floats(_ name: String) -> [Float]? {
        for file in files {
            guard let entry = file.tensor(name), entry.elementType == .float32 else { continue }
            let bytes = file.file.bytes[entry.range]
            return withExtendedLifetime(file.file) {
                stride(from: bytes.startIndex, to: bytes.endIndex, by: 4).map {
                    Float(
                        bitPattern: UInt32(
                            littleEndian: file.file.bytes.loadUnaligned(fromByteOffset: $0, as: UInt32.self)))
                }
            }
        }
        return nil
    }

    /// The paths of all shards, from the path of one; nil if it is not named as one of `count` shards.
    private static func paths(like path: String, count: Int) -> [String]? {
        let ending = "-of-\(padded(count)).gguf"
        guard count < 100_000, path.hasSuffix(ending) else { return nil }
        let stem = path.dropLast(ending.count)
        guard stem.count > 6, stem.dropLast(5).last == "-", let number = Int(stem.suffix(5)), 1...count ~= number else {
            return nil
        }
        return (1...count).map { "\(stem.dropLast(5))\(padded($0))\(ending)" }
    }

    /// Padded to five digits, as in the names of shards.
    private static func padded(_ number: Int) -> String { String(String(100_000 + number).suffix(5)) }
}

extension Checkpoint {
    /// The published name of a tensor of a GGUF file, and its layout in the file.
    package typealias Published = (name: String, layout: TensorLayout)

    /// The tensors of GGUF files.
    ///
    /// - Parameter published: maps a name in the file; nil for tensors that are not weights of the model.
    /// - Throws: `CheckpointError` if two tensors map to the same published tensor, or one of two halves is
    ///   missing.
    package init(
        _ models: [GGUFShards], published: (String) -> Published?
    ) throws(CheckpointError) {
        var entries: [String: Entry] = [:]
        var secondHalves: [String: Entry] = [:]
        for file in models.flatMap(\.files) {
            for tensor in file.tensors {
                guard let (name, layout) = published(tensor.name) else { continue }
                let entry = Entry(
                    storedName: tensor.name, elementType: tensor.elementType, storedShape: tensor.shape, layout: layout,
                    file: file.file, range: tensor.range)
                let earlier =
                    layout == .secondHalves
                    ? secondHalves.updateValue(entry, forKey: name) : entries.updateValue(entry, forKey: name)
                guard earlier == nil else {
                    throw CheckpointError(
                        .invalidTensor, file: file.path, place: tensor.name, expected: "every tensor once",
                        found: "a second one that stands for \(name)")
                }
            }
        }
        try Self.join(secondHalves, to: &entries)
        self.init(path: models[0].path, entries: entries)
    }

    private static func join(_ second: [String: Entry], to entries: inout [String: Entry]) throws(CheckpointError) {
        for (name, first) in entries where first.layout == .firstHalves {
            let half = second[name]
            guard let half, half.storedShape == first.storedShape, half.elementType == first.elementType else {
                throw CheckpointError(
                    .invalidTensor, file: first.file.path, place: first.storedName,
                    expected: "up-projections of the same shape and type",
                    found: half.map { "\($0.storedName), \($0.storedShape) \($0.elementType)" } ?? "none",
                    remedy: "Convert the model again with a current converter, or get another file.")
            }
            entries[name]?.secondHalves = Entry.Halves(file: half.file, range: half.range)
        }
        for (name, half) in second where entries[name]?.secondHalves == nil { entries[half.storedName] = half }
    }
}
