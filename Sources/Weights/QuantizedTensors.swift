import Synchronization
import Tensors

/// The meaning of the integer tensors of a directory, which the configuration states and the headers of the files do
/// not.
package enum QuantizedTensors: Sendable {
    /// Linear layers as `M.weight`, `[rows, ⌈columns · bits / 8⌉]` of U8 or `[rows, columns]` of I8, embeddings as
    /// `M.embedding_quantized`; `bits` maps the name of M to the bit width.
    ///
    /// Source: transformers, `integrations/gemma_quant.py`.
    case integers(bits: @Sendable (_ module: String) -> Int)
    /// Linear layers as `M.weight_packed`, `[rows, columns / 8]` of I32, 8 integers of 4 bits each with offset 8, the
    /// first column in the lowest bits, and `M.weight_scale`, `[rows, columns / 32]`.
    ///
    /// Source: compressed-tensors, `compressors/quantized_compressors/pack_quantized.py`.
    case packedGroups
}

extension Checkpoint {
    /// The tensors of a directory, with its integer tensors as quantized weights.
    ///
    /// - Parameters:
    ///   - path: the directory.
    ///   - rename: maps a name in the file to the published name.
    /// - Throws: `CheckpointError`, also for integer tensors that `quantized` does not explain.
    package init(
        _ path: String, quantized: QuantizedTensors?, rename: (String) -> String
    ) throws(CheckpointError) {
        let all = try Self.storedEntries(path, rename: rename)
        var entries: [String: Entry] = [:]
        var groupScales: Set<String> = []
        entries.reserveCapacity(all.count)
        for (name, stored) in all {
            guard stored.header.elementType == nil else {
                entries[name] = Entry(stored, elementType: stored.header.elementType!, shape: stored.header.shape)
                continue
            }
            switch quantized {
            case .integers(let bits):
                let (module, part) = Self.split(name)
                guard ["weight", "embedding_quantized"].contains(part) else { break }
                entries["\(module).weight"] = try Self.integers(stored, bits: bits(module))
                continue
            case .packedGroups:
                let (module, part) = Self.split(name)
                if part == "weight_shape" { continue }
                guard part == "weight_packed" else { break }
                entries["\(module).weight"] = try Self.packedGroups(stored, scales: all["\(module).weight_scale"])
                groupScales.insert("\(module).weight_scale")
                continue
            case nil: break
            }
            throw CheckpointError(unsupported: stored.header.dtype, file: stored.file.path, place: stored.name)
        }
        for name in groupScales { entries[name] = nil }
        self.init(path: path, entries: entries)
    }

    /// Splits a tensor's name into module and part.
    private static func split(_ name: String) -> (module: String, part: String) {
        guard let dot = name.lastIndex(of: ".") else { return ("", name) }
        return (String(name[..<dot]), String(name[name.index(after: dot)...]))
    }

    private static func integers(_ stored: StoredTensor, bits: Int) throws(CheckpointError) -> Entry {
        let type = ElementType.integers(bits: bits)
        let (dtype, shape) = (stored.header.dtype, stored.header.shape)
        guard dtype == (bits == 8 ? "I8" : "U8"), shape.count == 2 else {
            throw stored.invalid(
                expected: "a matrix of \(bits == 8 ? "I8" : "U8"), as config.json has \(bits) bits for it",
                found: "\(dtype) \(shape)")
        }
        let columns = shape[1] * (8 / bits)
        guard columns.isMultiple(of: type.blockLength) else {
            throw stored.invalid(
                expected: "rows of a multiple of \(type.blockLength) numbers", found: "\(columns)")
        }
        return Entry(stored, elementType: type, shape: [shape[0], columns])
    }

    private static func packedGroups(
        _ stored: StoredTensor, scales: StoredTensor?
    ) throws(CheckpointError) -> Entry {
        let shape = stored.header.shape
        guard stored.header.dtype == "I32", shape.count == 2 else {
            throw stored.invalid(expected: "a matrix of I32", found: "\(stored.header.dtype) \(shape)")
        }
        let columns = shape[1] * 8
        guard columns.isMultiple(of: 32) else {
            throw stored.invalid(expected: "rows of whole groups of 32 numbers", found: "\(columns) numbers")
        }
        guard let scales, let type = scales.header.elementType, scales.header.shape == [shape[0], columns / 32] else {
            throw stored.invalid(
                expected: "weight_scale, \([shape[0], columns / 32]), beside it",
                found: scales.map { "\($0.header.dtype) \($0.header.shape)" } ?? "none")
        }
        var entry = Entry(stored, elementType: .q4_0, shape: [shape[0], columns])
        entry.groupScales = GroupScales(file: scales.file, range: scales.header.range, elementType: type)
        return entry
    }
}

/// The location of a tensor's group scales.
struct GroupScales: Sendable {
    let file: MappedFile
    let range: Range<Int>
    let elementType: ElementType

    /// Valid while `file` lives.
    var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: file.bytes[range]) }
}

extension Checkpoint.Entry {
    init(_ stored: Checkpoint.StoredTensor, elementType: ElementType, shape: [Int]) {
        self.init(
            storedName: stored.name, elementType: elementType, storedShape: shape, layout: .published,
            file: stored.file, range: stored.header.range)
    }

    /// Groups of 32 integers of 4 bits and their scales, joined into blocks of q4_0 of the same values; nil if this
    /// tensor has no such groups.
    ///
    /// - Throws: `CheckpointError` if a scale is not representable in f16.
    func joinedGroups(_ threads: ThreadPool) throws(CheckpointError) -> OwnedBytes? {
        guard let groupScales else { return nil }
        let groups = range.count / Groups.byteCount
        let isExact = Atomic<Bool>(true)
        let joined = OwnedBytes(count: groups * ElementType.q4_0.blockByteCount) { joined in
            let input = Groups(numbers: bytes, scales: groupScales.bytes, joined: joined)
            threads.parallelFor(groups, grain: 4_096) { range in
                for group in range where !input.join(group, groupScales.elementType) {
                    isExact.store(false, ordering: .relaxed)
                }
            }
        }
        guard isExact.load(ordering: .relaxed) else {
            throw CheckpointError(
                .invalidTensor, file: file.path, place: storedName, expected: "scales that f16 holds",
                found: "one of another magnitude", remedy: "The file is damaged: download it again.")
        }
        return joined
    }

    /// `@unchecked Sendable`: threads write disjoint groups.
    private struct Groups: @unchecked Sendable {
        /// Bytes of 32 numbers of 4 bits.
        static let byteCount = 16

        let numbers, scales: UnsafeRawBufferPointer
        let joined: UnsafeMutableRawBufferPointer

        /// Writes one group as a block of q4_0.
        ///
        /// - Returns: false if its scale is not representable in f16.
        func join(_ group: Int, _ type: ElementType) -> Bool {
            let scale =
                switch type {
                case .float32: scales.loadUnaligned(fromByteOffset: 4 * group, as: Float.self)
                case .float16: Float(scales.loadUnaligned(fromByteOffset: 2 * group, as: Float16.self))
                default:
                    Float(
                        bitPattern: UInt32(scales.loadUnaligned(fromByteOffset: 2 * group, as: UInt16.self)) << 16)
                }
            let half = Float16(scale)
            let block = joined.baseAddress! + group * ElementType.q4_0.blockByteCount
            let source = numbers.baseAddress! + Self.byteCount * group
            BlockQuantizer.storeQ4_0(scale: half, block.assumingMemoryBound(to: UInt8.self)) { column in
                let byte = source.load(fromByteOffset: column / 2, as: UInt8.self)
                return column % 2 == 0 ? byte & 15 : byte >> 4
            }
            return Float(half) == scale || scale.isNaN
        }
    }
}
