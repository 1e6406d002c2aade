import Tensors

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// Writes a GGUF file tensor by tensor, so that the model need not fit into memory.
///
/// The file is written under a temporary name and renamed when complete: an interrupted run is cleaned up, and an
/// existing file stays intact.
package struct GGUFWriter: ~Copyable {
    /// One tensor to be written.
    package struct Description: Sendable {
        package let name: String
        package let elementType: ElementType
        /// Row-major: the last dimension varies fastest.
        package let shape: Shape

        package init(_ name: String, _ elementType: ElementType, _ shape: Shape) {
            (self.name, self.elementType, self.shape) = (name, elementType, shape)
        }

        var byteCount: Int { elementType.byteCount(shape.count) }
    }

    private let path: String
    private let temporaryPath: String
    private var descriptor: Int32
    private let tensors: [Description]
    private var written = 0
    private var writtenBytes = 0  // of the current tensor
    private static let alignment = GGUFFile.defaultAlignment

    /// Writes the header.
    ///
    /// - Parameters:
    ///   - metadata: keys and values in file order; must not contain `general.alignment`.
    ///   - tensors: the tensors to be written, in this order.
    /// - Throws: `CheckpointError` if the file cannot be written.
    package init(
        _ path: String, metadata: [(key: String, value: GGUFValue)], tensors: [Description]
    ) throws(CheckpointError) {
        self.path = path
        self.tensors = tensors
        temporaryPath = Self.temporaryPath(path)
        descriptor = open(temporaryPath, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o666)
        guard descriptor >= 0 else { throw Self.error(path) }
        try write(Self.header(metadata, tensors))
    }

    /// The file's name until it is complete; unique to this process.
    package static func temporaryPath(_ path: String) -> String { "\(path).\(getpid()).part" }

    deinit {
        guard descriptor >= 0 else { return }
        close(descriptor)
        unlink(temporaryPath)
    }

    /// Appends bytes of the current tensor, or the first of the next one, in its element type.
    ///
    /// - Throws: `CheckpointError` if they cannot be written.
    package mutating func append(_ bytes: UnsafeRawBufferPointer) throws(CheckpointError) {
        precondition(written < tensors.count, "GGUFWriter: all \(tensors.count) tensors have been written")
        let tensor = tensors[written]
        precondition(
            writtenBytes + bytes.count <= tensor.byteCount,
            "GGUFWriter: \(tensor.name) takes \(tensor.byteCount) bytes, found \(writtenBytes + bytes.count)")
        try write(bytes)
        writtenBytes += bytes.count
        guard writtenBytes == tensor.byteCount else { return }
        try write([UInt8](repeating: 0, count: Self.aligned(writtenBytes) - writtenBytes))
        written += 1
        writtenBytes = 0
    }

    /// Syncs the complete file and renames it.
    ///
    /// - Throws: `CheckpointError` if the file cannot be synced or renamed.
    package consuming func finish() throws(CheckpointError) {
        precondition(written == tensors.count, "GGUFWriter: \(written) of \(tensors.count) tensors have been written")
        guard fsync(descriptor) == 0, rename(temporaryPath, path) == 0 else { throw Self.error(path) }
        close(descriptor)
        descriptor = -1
    }

    // MARK: Bytes

    static func header(_ metadata: [(key: String, value: GGUFValue)], _ tensors: [Description]) -> [UInt8] {
        var bytes = GGUFFile.magic
        bytes.append(littleEndian: GGUFFile.version)
        bytes.append(littleEndian: UInt64(tensors.count))
        bytes.append(littleEndian: UInt64(metadata.count))
        for (key, value) in metadata {
            bytes.append(gguf: key)
            bytes.append(littleEndian: value.kind.rawValue)
            value.encode(into: &bytes)
        }
        var offset = 0
        for tensor in tensors {
            bytes.append(gguf: tensor.name)
            bytes.append(littleEndian: UInt32(tensor.shape.rank))
            for size in tensor.shape.dimensions.reversed() { bytes.append(littleEndian: UInt64(size)) }
            bytes.append(littleEndian: GGUFTensorType.number(tensor.elementType))
            bytes.append(littleEndian: UInt64(offset))
            offset += aligned(tensor.byteCount)
        }
        return bytes + [UInt8](repeating: 0, count: aligned(bytes.count) - bytes.count)
    }

    private static func aligned(_ offset: Int) -> Int { (offset + alignment - 1) / alignment * alignment }

    private func write(_ bytes: [UInt8]) throws(CheckpointError) {
        let result: Result<Void, CheckpointError> = bytes.withUnsafeBytes { buffer in
            Result { () throws(CheckpointError) in try write(buffer) }
        }
        try result.get()
    }

    private func write(_ bytes: UnsafeRawBufferPointer) throws(CheckpointError) {
        var rest = bytes[...]
        while !rest.isEmpty {
            let part = UnsafeRawBufferPointer(rebasing: rest)
            #if canImport(Darwin)
                let count = Darwin.write(descriptor, part.baseAddress, min(part.count, 1 << 30))
            #elseif canImport(Musl)
                let count = Musl.write(descriptor, part.baseAddress, min(part.count, 1 << 30))
            #else
                let count = Glibc.write(descriptor, part.baseAddress, min(part.count, 1 << 30))
            #endif
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { throw Self.error(path) }
            rest = rest.dropFirst(count)
        }
    }

    private static func error(_ path: String) -> CheckpointError {
        CheckpointError(
            .notWritable, file: path, found: "cannot be written (\(String(cString: strerror(errno))))",
            remedy: "Give a path in a directory that exists, with room for the file.")
    }
}

extension GGUFValue {
    /// Appends the value as encoded in a file, without its type.
    func encode(into bytes: inout [UInt8]) {
        switch self {
        case .uint8(let value): bytes.append(littleEndian: value)
        case .int8(let value): bytes.append(littleEndian: value)
        case .uint16(let value): bytes.append(littleEndian: value)
        case .int16(let value): bytes.append(littleEndian: value)
        case .uint32(let value): bytes.append(littleEndian: value)
        case .int32(let value): bytes.append(littleEndian: value)
        case .uint64(let value): bytes.append(littleEndian: value)
        case .int64(let value): bytes.append(littleEndian: value)
        case .float32(let value): bytes.append(littleEndian: value.bitPattern)
        case .float64(let value): bytes.append(littleEndian: value.bitPattern)
        case .bool(let value): bytes.append(value ? 1 : 0)
        case .string(let text): bytes.append(gguf: text)
        case .array(let array):
            bytes.append(littleEndian: array.elements.rawValue)
            bytes.append(littleEndian: UInt64(array.count))
            array.withBytes { bytes.append(contentsOf: $0) }
        }
    }
}

extension [UInt8] {
    fileprivate mutating func append(littleEndian value: some FixedWidthInteger) {
        Swift.withUnsafeBytes(of: value.littleEndian) { append(contentsOf: $0) }
    }

    fileprivate mutating func append(gguf text: String) {
        append(littleEndian: UInt64(text.utf8.count))
        append(contentsOf: text.utf8)
    }
}
