/// One value of a GGUF file's metadata.
///
/// Source: github.com/ggml-org/ggml, `docs/gguf.md`, `gguf_metadata_value_type`.
package enum GGUFValue: Sendable {
    case uint8(UInt8)
    case int8(Int8)
    case uint16(UInt16)
    case int16(Int16)
    case uint32(UInt32)
    case int32(Int32)
    case uint64(UInt64)
    case int64(Int64)
    case float32(Float)
    case float64(Double)
    case bool(Bool)
    case string(String)
    case array(GGUFArray)

    /// The type numbers of values.
    package enum Kind: UInt32, Sendable {
        case uint8, int8, uint16, int16, uint32, int32, float32, bool, string, array, uint64, int64, float64

        /// Bytes of one value; nil for strings and arrays, whose length is stored with them.
        var byteCount: Int? {
            switch self {
            case .uint8, .int8, .bool: 1
            case .uint16, .int16: 2
            case .uint32, .int32, .float32: 4
            case .uint64, .int64, .float64: 8
            case .string, .array: nil
            }
        }
    }

    package var kind: Kind {
        switch self {
        case .uint8: .uint8
        case .int8: .int8
        case .uint16: .uint16
        case .int16: .int16
        case .uint32: .uint32
        case .int32: .int32
        case .uint64: .uint64
        case .int64: .int64
        case .float32: .float32
        case .float64: .float64
        case .bool: .bool
        case .string: .string
        case .array: .array
        }
    }

    /// The value as an Int, if it is an integer of any width that fits.
    package var integer: Int? {
        switch self {
        case .uint8(let value): Int(value)
        case .int8(let value): Int(value)
        case .uint16(let value): Int(value)
        case .int16(let value): Int(value)
        case .uint32(let value): Int(value)
        case .int32(let value): Int(value)
        case .uint64(let value): Int(exactly: value)
        case .int64(let value): Int(value)
        default: nil
        }
    }

    /// The value as a Double, if it is a number of any kind.
    package var number: Double? {
        switch self {
        case .float32(let value): Double(value)
        case .float64(let value): value
        default: integer.map(Double.init)
        }
    }

    package var string: String? {
        guard case .string(let text) = self else { return nil }
        return text
    }

    package var array: GGUFArray? {
        guard case .array(let array) = self else { return nil }
        return array
    }

    /// The value for a message, abbreviated if it is long.
    package var summary: String {
        switch self {
        case .string(let text): text.unicodeScalars.count > 40 ? "\"\(text.prefix(40))…\"" : "\"\(text)\""
        case .array(let array): "an array of \(array.count) \(array.elements)"
        case .bool(let value): "\(value)"
        default: integer.map(String.init) ?? number.map { "\($0)" } ?? "\(self)"
        }
    }
}

/// An array of a GGUF file's metadata, kept encoded and decoded on demand: a vocabulary has 262 144 strings, and half
/// a million merges.
package struct GGUFArray: Sendable {
    package let elements: GGUFValue.Kind
    package let count: Int
    private let storage: Storage

    private enum Storage: Sendable {
        case mapped(MappedFile, Range<Int>)
        case owned([UInt8])
    }

    /// Validated elements within a mapped file.
    init(_ elements: GGUFValue.Kind, count: Int, in file: MappedFile, _ range: Range<Int>) {
        (self.elements, self.count) = (elements, count)
        storage = .mapped(file, range)
    }

    /// - Precondition: all values are of this kind.
    package init(_ elements: GGUFValue.Kind, _ values: [GGUFValue]) {
        precondition(values.allSatisfy { $0.kind == elements }, "GGUFArray: expected \(elements) only")
        (self.elements, count) = (elements, values.count)
        storage = .owned(values.reduce(into: []) { $1.encode(into: &$0) })
    }

    package init(_ strings: [String]) { self.init(.string, strings.map(GGUFValue.string)) }

    /// Strings as concatenated UTF-8, and the end offset of each.
    package init(strings: (bytes: [UInt8], ends: [Int])) {
        (elements, count) = (.string, strings.ends.count)
        var bytes: [UInt8] = []
        bytes.reserveCapacity(strings.bytes.count + 8 * count)
        var start = 0
        for end in strings.ends {
            Swift.withUnsafeBytes(of: UInt64(end - start).littleEndian) { bytes.append(contentsOf: $0) }
            bytes.append(contentsOf: strings.bytes[start..<end])
            start = end
        }
        storage = .owned(bytes)
    }

    package init(_ numbers: [Int32]) { self.init(.int32, numbers.map(GGUFValue.int32)) }

    package init(_ flags: [Bool]) { self.init(.bool, flags.map(GGUFValue.bool)) }

    func withBytes<Result>(_ body: (UnsafeRawBufferPointer) -> Result) -> Result {
        switch storage {
        case .mapped(let file, let range):
            withExtendedLifetime(file) { body(UnsafeRawBufferPointer(rebasing: file.bytes[range])) }
        case .owned(let bytes): bytes.withUnsafeBytes(body)
        }
    }

    /// The elements as Ints, if they are integers that fit, or Booleans (0 and 1).
    package var integers: [Int]? {
        switch elements {
        case .uint8, .bool: decoded(UInt8.self)
        case .int8: decoded(Int8.self)
        case .uint16: decoded(UInt16.self)
        case .int16: decoded(Int16.self)
        case .uint32: decoded(UInt32.self)
        case .int32: decoded(Int32.self)
        case .uint64: decoded(UInt64.self)
        case .int64: decoded(Int64.self)
        case .float32, .float64, .string, .array: nil
        }
    }

    private func decoded<Number: FixedWidthInteger>(_: Number.Type) -> [Int]? {
        let width = MemoryLayout<Number>.size
        return withBytes { bytes in
            var numbers: [Int] = []
            numbers.reserveCapacity(count)
            for index in 0..<count {
                let stored = Number(littleEndian: bytes.loadUnaligned(fromByteOffset: index * width, as: Number.self))
                guard let number = Int(exactly: stored) else { return nil }
                numbers.append(number)
            }
            return numbers
        }
    }

    /// The elements, if they are strings: their concatenated UTF-8, and the end offset of each.
    package var strings: (bytes: [UInt8], ends: [Int])? {
        guard elements == .string else { return nil }
        return withBytes { stored in
            var bytes: [UInt8] = []
            var ends: [Int] = []
            bytes.reserveCapacity(stored.count - 8 * count)
            ends.reserveCapacity(count)
            var offset = 0
            for _ in 0..<count {
                let length = Int(UInt64(littleEndian: stored.loadUnaligned(fromByteOffset: offset, as: UInt64.self)))
                bytes.append(contentsOf: stored[offset + 8..<offset + 8 + length])
                ends.append(bytes.count)
                offset += 8 + length
            }
            return (bytes, ends)
        }
    }
}
