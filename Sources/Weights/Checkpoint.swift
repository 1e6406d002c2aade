import JSONText
import Tensors

/// The weights of a directory, `model.safetensors` or the shards that `model.safetensors.index.json` lists, or of GGUF
/// files.
///
/// Opening reads only the headers. Tensors are mapped from the files.
package struct Checkpoint: WeightSource {
    /// One tensor, as its header describes it.
    package struct Entry: Sendable {
        /// For messages.
        package let storedName: String
        package let elementType: ElementType
        let storedShape: [Int]
        let layout: TensorLayout
        let file: MappedFile
        let range: Range<Int>
        /// The location of the second halves of `firstHalves`.
        var secondHalves: Halves?

        struct Halves: Sendable {
            let file: MappedFile
            let range: Range<Int>
        }

        /// The group scales, if the file stores them apart from the integers; see `QuantizedTensors.packedGroups`.
        var groupScales: GroupScales?

        /// The published shape.
        package var shape: [Int] { layout.published(storedShape) }

        package var byteCount: Int {
            range.count + (secondHalves?.range.count ?? 0) + (groupScales?.range.count ?? 0)
        }

        /// Valid while `file` lives.
        var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: file.bytes[range]) }

        /// A copy in which the two halves of every expert are adjacent, as published; nil if the file stores them so.
        func joinedHalves() -> OwnedBytes? {
            guard let second = secondHalves else { return nil }
            let experts = storedShape[0]
            let half = range.count / max(1, experts)
            return OwnedBytes(count: byteCount) { joined in
                for expert in 0..<experts {
                    for (place, part) in [(file, range), (second.file, second.range)].enumerated() {
                        let start = part.1.lowerBound + expert * half
                        UnsafeMutableRawBufferPointer(rebasing: joined[((2 * expert + place) * half)...])
                            .copyMemory(from: UnsafeRawBufferPointer(rebasing: part.0.bytes[start..<start + half]))
                    }
                }
            }
        }
    }

    /// The directory, or the GGUF file of the text model.
    package let path: String
    /// All tensors, by their published names.
    package let entries: [String: Entry]

    init(path: String, entries: [String: Entry]) { (self.path, self.entries) = (path, entries) }

    /// - Parameters:
    ///   - path: the directory.
    ///   - rename: maps a name in the file to the published name.
    /// - Throws: `CheckpointError` if there are no weights, a shard is missing, or a header contradicts its file.
    package init(_ path: String, rename: (String) -> String = { $0 }) throws(CheckpointError) {
        try self.init(path, quantized: nil, rename: rename)
    }

    /// One tensor of a safetensors file.
    struct StoredTensor {
        let name: String
        let header: SafetensorsHeader.Entry
        let file: MappedFile

        func invalid(expected: String, found: String) -> CheckpointError {
            CheckpointError(
                .invalidTensor, file: file.path, place: name, expected: expected, found: found,
                remedy: "config.json and weights are of different models; use the config.json published beside them.")
        }
    }

    /// The tensors of a directory by their published names.
    static func storedEntries(
        _ path: String, rename: (String) -> String
    ) throws(CheckpointError) -> [String: StoredTensor] {
        let single = "\(path)/model.safetensors"
        let index = "\(single).index.json"
        let stored: [String: StoredTensor]
        if isPresent(single) {
            stored = try Self.entries(single)
        } else if isPresent(index) {
            stored = try Self.entries(index: index, in: path)
        } else {
            throw CheckpointError(
                .fileNotFound, file: path, expected: "model.safetensors or model.safetensors.index.json",
                found: isPresent(path) ? "neither" : "no such directory",
                remedy: "Give the directory of a complete download.")
        }
        var entries: [String: StoredTensor] = [:]
        entries.reserveCapacity(stored.count)
        for (name, entry) in stored {
            let published = rename(name)
            guard entries.updateValue(entry, forKey: published) == nil else {
                throw CheckpointError(
                    .invalidTensor, file: entry.file.path, place: name, expected: "every tensor once",
                    found: "a second one that stands for \(published)")
            }
        }
        return entries
    }

    /// Tensors up to this size are copied: a page fault on the mapping can make megabytes resident.
    private static let copiedByteCount = 64 << 10

    package func tensor(_ name: String, _ shape: Shape, on device: Device) throws(CheckpointError) -> Tensor? {
        guard let entry = entries[name] else { return nil }
        guard entry.shape == shape.dimensions else {
            throw CheckpointError(
                .tensorMismatch, file: entry.file.path, found: "a tensor has another shape",
                mismatches: [.misshapen(entry.storedName, expected: shape, found: entry.shape)])
        }
        guard entry.layout.keepsNumbers else {
            let stored = Tensor(
                mapped: entry.bytes, owner: entry.file, Shape(entry.storedShape), entry.elementType, on: device)
            return Tensor(entry.layout.published(stored.toArray(), entry.storedShape), shape, on: device)
        }
        let joined = entry.groupScales == nil ? entry.joinedHalves() : try entry.joinedGroups(device.threads)
        if let joined {
            return Tensor(mapped: joined.bytes, owner: joined, shape, entry.elementType, on: device)
        }
        let bytes = entry.bytes
        let isAligned = Int(bitPattern: bytes.baseAddress) % entry.elementType.alignment == 0
        guard bytes.count > Self.copiedByteCount, isAligned else {
            // Some writers do not pad their header, but the kernels need aligned elements.
            let copy = OwnedBytes(count: bytes.count) { copy in
                if bytes.isEmpty || !entry.file.read(bytes, into: copy.baseAddress!) { copy.copyMemory(from: bytes) }
            }
            return Tensor(mapped: copy.bytes, owner: copy, shape, entry.elementType, on: device)
        }
        return Tensor(mapped: bytes, owner: entry.file, shape, entry.elementType, on: device)
    }

    /// Scans every matrix and vector and names the first that holds NaN or infinity; scalars may be infinite, because
    /// bounds are. Takes seconds on a large model: call it only after the output is NaN.
    package func firstNotFinite() -> CheckpointError? {
        for (_, entry) in entries.sorted(by: { $0.key < $1.key }) where !entry.shape.isEmpty {
            let second = entry.secondHalves.map { UnsafeRawBufferPointer(rebasing: $0.file.bytes[$0.range]) }
            let isFinite =
                entry.groupScales.map { !$0.bytes.holdsNotFinite($0.elementType) }
                ?? ![entry.bytes, second].contains { $0?.holdsNotFinite(entry.elementType) ?? false }
            guard !isFinite else { continue }
            return CheckpointError(
                .notFinite, file: entry.file.path, place: entry.storedName, expected: "finite numbers",
                found: "NaN or infinity",
                remedy: "The file is damaged, or was converted wrongly: download it again.")
        }
        return nil
    }

    /// The published shape of a tensor; nil if there is none of that name.
    package func shape(_ name: String) -> [Int]? { entries[name]?.shape }

    /// The stored bytes of a tensor; nil if there is none of that name, or if its scales are stored apart.
    package func withStoredBytes<Result>(
        _ name: String, _ body: (UnsafeRawBufferPointer) throws -> Result
    ) rethrows -> Result? {
        guard let entry = entries[name], entry.groupScales == nil else { return nil }
        return try withExtendedLifetime(entry.file) { try body(entry.bytes) }
    }

    /// A fingerprint of the weights that reads only a few pages per tensor: names, types and shapes, all bytes of
    /// small tensors, and of the others 64 bytes at four offsets.
    package var samples: [UInt8] {
        let sampleByteCount = 64
        var samples: [UInt8] = []
        for (name, entry) in entries.sorted(by: { $0.key < $1.key }) {
            samples += Array("\n\(name) \(entry.elementType) \(entry.storedShape)\n".utf8)
            let parts =
                [(entry.file, entry.range)] + (entry.secondHalves.map { [($0.file, $0.range)] } ?? [])
                + (entry.groupScales.map { [($0.file, $0.range)] } ?? [])
            for (file, range) in parts {
                let bytes = UnsafeRawBufferPointer(rebasing: file.bytes[range])
                guard bytes.count > 64 * sampleByteCount else {
                    samples += bytes
                    continue
                }
                for place in 0..<4 {
                    let start = (2 * place + 1) * (bytes.count / 8)
                    samples += bytes[start..<start + sampleByteCount]
                }
            }
        }
        return samples
    }

    package func advise(_ access: MappedFile.Access, _ name: String) {
        guard let entry = entries[name] else { return }
        entry.file.advise(access, entry.range)
        entry.secondHalves.map { $0.file.advise(access, $0.range) }
        entry.groupScales.map { $0.file.advise(access, $0.range) }
    }

    // MARK: Files

    private static func entries(_ path: String) throws(CheckpointError) -> [String: StoredTensor] {
        let file = try MappedFile(path)
        let entries = try SafetensorsHeader(file.bytes, path: path).entries.map { name, entry in
            (name, StoredTensor(name: name, header: entry, file: file))
        }
        return Dictionary(uniqueKeysWithValues: entries)
    }

    /// Reads an index, `{"metadata": {…}, "weight_map": {tensor name: file name}}`, and the shards it lists.
    private static func entries(index: String, in directory: String) throws(CheckpointError) -> [String: StoredTensor] {
        func invalid(_ place: String?, expected: String, found: String) -> CheckpointError {
            CheckpointError(
                .invalidIndex, file: index, place: place, expected: expected, found: found,
                remedy: "Download the index and its shards again; all must be of one version.")
        }
        let json = try JSONValue(contentsOf: index)
        guard case .object(let map)? = json["weight_map"], !map.isEmpty else {
            throw invalid(nil, expected: "a weight_map that names the file of every tensor", found: "none")
        }
        var names: [String: [String]] = [:]  // by shard
        for member in map {
            let name = member.key
            guard case .string(let shard) = member.value, !shard.isEmpty, !shard.contains("/"), shard != ".." else {
                throw invalid(name, expected: "the name of a file beside the index", found: member.value.summary)
            }
            names[shard, default: []].append(name)
        }
        let missing = names.keys.filter { !isPresent("\(directory)/\($0)") }.sorted()
        guard missing.isEmpty else {
            throw CheckpointError(
                .missingShard, file: index, expected: "\(names.count) shards",
                found: "no \(missing.joined(separator: ", no "))", remedy: "Download the missing shards.")
        }
        var entries: [String: StoredTensor] = [:]
        entries.reserveCapacity(map.count)
        for (shard, names) in names.sorted(by: { $0.key < $1.key }) {
            let found = try self.entries("\(directory)/\(shard)")
            let absent = names.filter { found[$0] == nil }.sorted()
            guard absent.isEmpty else {
                throw invalid(
                    absent[0], expected: "this tensor in \(shard)",
                    found: absent.count == 1 ? "none there" : "none there, nor \(absent.count - 1) others")
            }
            for name in names { entries[name] = found[name] }
        }
        return entries
    }
}

extension UnsafeRawBufferPointer {
    /// Whether any element or scale is non-finite: has all bits of its exponent set.
    fileprivate func holdsNotFinite(_ type: ElementType) -> Bool {
        func holds<Bits: FixedWidthInteger>(_: Bits.Type, exponent: Bits) -> Bool {
            let width = MemoryLayout<Bits>.size
            return (0..<count / width).contains {
                loadUnaligned(fromByteOffset: $0 * width, as: Bits.self) & exponent == exponent
            }
        }
        let (scaleOffsets, exponentOffset) = (type.scaleOffsets, type.exponentOffset)
        return switch type {
        case .float32: holds(UInt32.self, exponent: 0x7F80_0000)
        case .bfloat16: holds(UInt16.self, exponent: 0x7F80)
        case .float16: holds(UInt16.self, exponent: 0x7C00)
        case .int2, .int4, .int8: false
        default:
            stride(from: 0, to: count, by: type.blockByteCount).contains { block in
                if let exponentOffset, self[block + exponentOffset] == .max { return true }
                return scaleOffsets.contains {
                    loadUnaligned(fromByteOffset: block + $0, as: UInt16.self) & 0x7C00 == 0x7C00
                }
            }
        }
    }
}
