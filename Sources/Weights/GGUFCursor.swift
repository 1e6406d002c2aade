/// Reads a GGUF file's header sequentially. Every stated size is checked against the bytes that remain before it is
/// used.
struct GGUFCursor {
    let file: MappedFile
    private(set) var offset = 0

    /// The deepest nesting of arrays; no key of any model nests them.
    private static let depthLimit = 4

    init(_ file: MappedFile) { self.file = file }

    var remaining: Int { file.byteCount - offset }

    // MARK: Reading

    mutating func integer<Number: FixedWidthInteger>(
        _ place: String, as: Number.Type = Number.self
    ) throws(CheckpointError) -> Number {
        let start = offset
        try skip(MemoryLayout<Number>.size, place)
        return Number(littleEndian: file.bytes.loadUnaligned(fromByteOffset: start, as: Number.self))
    }

    /// A count of elements of at least `size` bytes each.
    mutating func count(_ place: String, of size: Int) throws(CheckpointError) -> Int {
        let stated: UInt64 = try integer(place)
        guard stated <= UInt64(remaining / size) else {
            throw invalid(
                place, expected: "a count for which there is room in the \(remaining) bytes that follow",
                found: "\(stated)")
        }
        return Int(stated)
    }

    mutating func string(_ place: String) throws(CheckpointError) -> String {
        let range = try stringRange(place)
        let bytes = file.bytes[range]
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw invalid(place, expected: "text in UTF-8", found: "\(bytes.count) other bytes")
        }
        return text
    }

    mutating func value(_ place: String) throws(CheckpointError) -> GGUFValue {
        let kind = try kind(place)
        switch kind {
        case .uint8: return .uint8(try integer(place))
        case .int8: return .int8(try integer(place))
        case .uint16: return .uint16(try integer(place))
        case .int16: return .int16(try integer(place))
        case .uint32: return .uint32(try integer(place))
        case .int32: return .int32(try integer(place))
        case .uint64: return .uint64(try integer(place))
        case .int64: return .int64(try integer(place))
        case .float32: return .float32(Float(bitPattern: try integer(place)))
        case .float64: return .float64(Double(bitPattern: try integer(place)))
        case .bool: return .bool(try integer(place, as: UInt8.self) != 0)
        case .string: return .string(try string(place))
        case .array: return .array(try array(place, depth: 1))
        }
    }

    private mutating func kind(_ place: String) throws(CheckpointError) -> GGUFValue.Kind {
        let number: UInt32 = try integer(place)
        guard let kind = GGUFValue.Kind(rawValue: number) else {
            throw invalid(place, expected: "a type from 0 to 12", found: "\(number)")
        }
        return kind
    }

    private mutating func array(_ place: String, depth: Int) throws(CheckpointError) -> GGUFArray {
        guard depth <= Self.depthLimit else {
            throw invalid(
                place, expected: "arrays nested at most \(Self.depthLimit) deep", found: "one nested deeper")
        }
        let elements = try kind(place)
        let count = try count(place, of: elements.byteCount ?? (elements == .string ? 8 : 12))
        let start = offset
        switch elements {
        case .string: for _ in 0..<count { _ = try stringRange(place) }
        case .array: for _ in 0..<count { _ = try array(place, depth: depth + 1) }
        default: try skip(count * elements.byteCount!, place)
        }
        return GGUFArray(elements, count: count, in: file, start..<offset)
    }

    private mutating func stringRange(_ place: String) throws(CheckpointError) -> Range<Int> {
        let length: UInt64 = try integer(place)
        guard length <= UInt64(remaining) else {
            throw invalid(place, expected: "\(length) bytes of text", found: "\(remaining) bytes in the file")
        }
        let start = offset
        offset += Int(length)
        return start..<offset
    }

    private mutating func skip(_ byteCount: Int, _ place: String) throws(CheckpointError) {
        guard byteCount <= remaining else {
            throw invalid(place, expected: "\(byteCount) bytes", found: "\(remaining): the file ends")
        }
        offset += byteCount
    }

    // MARK: Errors

    func invalid(_ place: String?, expected: String, found: String) -> CheckpointError {
        CheckpointError(
            .invalidHeader, file: file.path, place: place, expected: expected, found: found,
            remedy: "The file was cut or changed. Download or convert it again.")
    }
}
