import Tensors

/// A mapped GGUF file: its metadata, and the location of its tensors. Fully validated when opened, so that any tensor
/// can be read.
///
/// Little-endian: `GGUF`, version, counts of tensors and of metadata; key, type and value of each; name, dimensions
/// (fastest first), type and offset of each tensor; the data, from the next multiple of `general.alignment`.
///
/// Source: github.com/ggml-org/ggml, `docs/gguf.md`, `src/gguf.cpp` (what the reference rejects).
package struct GGUFFile: Sendable {
    /// One tensor, as described by the file.
    package struct Entry: Sendable, Hashable {
        package let name: String
        package let elementType: ElementType
        /// Row-major: the last dimension varies fastest.
        package let shape: [Int]
        /// The byte range in the file.
        package let range: Range<Int>
    }

    package let metadata: [String: GGUFValue]
    /// In file order.
    package let tensors: [Entry]
    let file: MappedFile

    package var path: String { file.path }

    static let magic = Array("GGUF".utf8)
    static let version: UInt32 = 3
    static let defaultAlignment = 32

    /// Whether a regular file starts with the magic of GGUF, whatever its name.
    package static func begins(_ path: String) -> Bool {
        guard let file = try? MappedFile(path) else { return false }
        return withExtendedLifetime(file) { file.bytes.starts(with: magic) }
    }

    /// - Parameter check: rejects a file by its path and metadata, before its tensors are read.
    /// - Throws: `CheckpointError` if the file cannot be read, is not a GGUF file, or contradicts itself; the
    ///   errors of `check`.
    package init(
        _ path: String,
        check: (_ path: String, _ metadata: [String: GGUFValue]) throws(CheckpointError) -> Void = { _, _ in }
    ) throws(CheckpointError) {
        file = try MappedFile(path)
        var cursor = GGUFCursor(file)
        try Self.checkStart(&cursor)
        // A tensor takes at least 24 bytes in the header: the lengths of name and shape, type and offset. A key takes
        // at least 13.
        let tensorCount = try cursor.count("tensor count", of: 24)
        let keyCount = try cursor.count("metadata count", of: 13)
        metadata = try Self.metadata(&cursor, count: keyCount)
        try check(path, metadata)
        let alignment = try Self.alignment(metadata, path)
        tensors = try Self.tensors(&cursor, count: tensorCount, alignment: alignment)
    }

    /// The tensor of that name; nil if there is none.
    package func tensor(_ name: String) -> Entry? { tensors.first { $0.name == name } }

    // MARK: Parts of the header

    private static func checkStart(_ cursor: inout GGUFCursor) throws(CheckpointError) {
        let file = cursor.file
        let start = Array(file.bytes.prefix(4))
        guard start == magic else {
            let text =
                start.allSatisfy { 0x20..<0x7F ~= $0 } ? "\"\(String(decoding: start, as: UTF8.self))\"" : "other bytes"
            throw CheckpointError(
                .invalidHeader, file: file.path, expected: "a GGUF file, which begins with \"GGUF\"", found: text,
                remedy: file.bytes.starts(with: "version https://git-lfs".utf8)
                    ? "It is a Git LFS pointer: run git lfs pull there." : "Check the path and the download.")
        }
        _ = try cursor.integer("magic", as: UInt32.self)
        let found: UInt32 = try cursor.integer("version")
        guard found == version || found == 2 else {
            let isSwapped = found.byteSwapped <= version
            throw CheckpointError(
                .invalidHeader, file: file.path, place: "version", expected: "2 or 3",
                found: isSwapped ? "a big-endian file" : "\(found)",
                remedy: "Convert the model again with a current converter, for little-endian machines.")
        }
    }

    private static func metadata(_ cursor: inout GGUFCursor, count: Int) throws(CheckpointError) -> [String: GGUFValue]
    {
        var metadata: [String: GGUFValue] = [:]
        for index in 0..<count {
            let key = try cursor.string("metadata key \(index)")
            let value = try cursor.value(key)
            guard metadata.updateValue(value, forKey: key) == nil else {
                throw cursor.invalid(key, expected: "every key once", found: "it twice")
            }
        }
        return metadata
    }

    private static func alignment(_ metadata: [String: GGUFValue], _ path: String) throws(CheckpointError) -> Int {
        guard let value = metadata["general.alignment"] else { return defaultAlignment }
        guard case .uint32(let alignment) = value, alignment.nonzeroBitCount == 1, alignment <= 1 << 20 else {
            throw CheckpointError(
                .invalidHeader, file: path, place: "general.alignment",
                expected: "a power of two, at most 2^20, as uint32",
                found: "\(value.summary) (\(value.kind))", remedy: "The file was changed. Download or convert it again."
            )
        }
        return Int(alignment)
    }

    private static func tensors(
        _ cursor: inout GGUFCursor, count: Int, alignment: Int
    ) throws(CheckpointError) -> [Entry] {
        var stated: [(name: String, type: ElementType, shape: [Int], byteCount: Int, offset: UInt64)] = []
        var names = Set<String>()
        for index in 0..<count {
            let name = try cursor.string("tensor \(index)")
            guard names.insert(name).inserted else {
                throw invalid(name, cursor, expected: "every tensor once", found: "it twice")
            }
            let shape = try shape(of: name, &cursor)
            let number: UInt32 = try cursor.integer(name)
            guard let type = GGUFTensorType.elementType(number) else {
                throw CheckpointError(
                    .invalidTensor, file: cursor.file.path, place: name, expected: "a type that this program runs",
                    found: GGUFTensorType.name(number), remedy: GGUFTensorType.remedy(number))
            }
            let byteCount = try byteCount(type, shape, name, cursor)
            stated.append((name, type, shape, byteCount, try cursor.integer(name)))
        }
        let dataStart = aligned(cursor.offset, alignment)
        var end = 0  // of the previous tensor, relative to dataStart
        var entries: [Entry] = []
        for tensor in stated {
            let start = aligned(end, alignment)
            guard tensor.offset == UInt64(start) else {
                throw invalid(
                    tensor.name, cursor, expected: "offset \(start), behind the tensor before it",
                    found: "\(tensor.offset)")
            }
            let room = max(0, cursor.file.byteCount - dataStart)
            guard start <= room, tensor.byteCount <= room - start else {
                throw invalid(
                    tensor.name, cursor, expected: "\(tensor.byteCount) bytes of data from byte \(start) on",
                    found: "\(room) bytes of data: the file is cut short")
            }
            end = start + tensor.byteCount
            entries.append(
                Entry(
                    name: tensor.name, elementType: tensor.type, shape: tensor.shape,
                    range: dataStart + start..<dataStart + end))
        }
        return entries
    }

    private static func shape(of name: String, _ cursor: inout GGUFCursor) throws(CheckpointError) -> [Int] {
        let rank: UInt32 = try cursor.integer(name)
        guard rank <= 4 else { throw invalid(name, cursor, expected: "at most 4 dimensions", found: "\(rank)") }
        var shape: [Int] = []
        for _ in 0..<rank {
            let size: UInt64 = try cursor.integer(name)
            guard let size = Int(exactly: size), size > 0 else {
                throw invalid(name, cursor, expected: "dimensions from 1 to what fits into memory", found: "\(size)")
            }
            shape.insert(size, at: 0)
        }
        return shape
    }

    private static func byteCount(
        _ type: ElementType, _ shape: [Int], _ name: String, _ cursor: GGUFCursor
    ) throws(CheckpointError) -> Int {
        guard (shape.last ?? 1).isMultiple(of: type.blockLength) else {
            throw invalid(
                name, cursor, expected: "rows of a multiple of \(type.blockLength) elements, as \(type) has them",
                found: "\(shape)")
        }
        var count = 1
        for size in shape {
            let (product, overflow) = count.multipliedReportingOverflow(by: size)
            // 8: no type takes more bytes per element.
            guard !overflow, product <= Int.max / 8 else {
                throw invalid(name, cursor, expected: "a shape that fits into memory", found: "\(shape)")
            }
            count = product
        }
        return type.byteCount(count)
    }

    private static func aligned(_ offset: Int, _ alignment: Int) -> Int {
        (offset + alignment - 1) / alignment * alignment
    }

    private static func invalid(_ name: String, _ cursor: GGUFCursor, expected: String, found: String)
        -> CheckpointError
    {
        CheckpointError(
            .invalidTensor, file: cursor.file.path, place: name, expected: expected, found: found,
            remedy: "The file was cut or changed. Download or convert it again.")
    }
}
