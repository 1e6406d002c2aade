/// A JSON value, as the small files of a checkpoint hold them: configurations, the header of a safetensors file, its index.
///
/// Foundation's parser keeps the last of two equal keys and names no line; a header with a tensor listed twice must be
/// refused, and a typing error in a configuration must be found.
public enum JSON: Sendable, Hashable {
    case null
    case boolean(Bool)
    case integer(Int)
    case number(Double)
    case string(String)
    case array([JSON])
    case object([String: JSON])

    /// What is wrong with a text, and where: lines and columns (in bytes) count from 1.
    public struct SyntaxError: Error, Hashable, Sendable {
        public let line: Int
        public let column: Int
        public let expected: String
        public let found: String
    }

    /// - Throws: if `bytes` are not exactly one JSON value in UTF-8, repeat a key, or nest deeper than 64 levels.
    public init(parsing bytes: [UInt8]) throws(SyntaxError) {
        var parser = Parser(bytes: bytes)
        self = try parser.document()
    }

    /// The kind of this value, in the words of the JSON standard, with the value itself where it is short.
    public var summary: String {
        switch self {
        case .null: "null"
        case .boolean(let value): "\(value)"
        case .integer(let value): "\(value)"
        case .number(let value): "\(value)"
        case .string(let value): value.count > 60 ? "\"\(value.prefix(60))…\"" : "\"\(value)\""
        case .array(let values): "an array of \(values.count)"
        case .object: "an object"
        }
    }
}

private struct Parser {
    let bytes: [UInt8]
    var position = 0

    init(bytes: [UInt8]) { self.bytes = bytes }

    mutating func document() throws(JSON.SyntaxError) -> JSON {
        let value = try value(depth: 0)
        skipSpace()
        guard position == bytes.count else { throw failure("the end of the text") }
        return value
    }

    private mutating func value(depth: Int) throws(JSON.SyntaxError) -> JSON {
        skipSpace()
        guard depth <= 64 else { throw failure("at most 64 levels of nesting") }
        guard position < bytes.count else { throw failure("a value") }
        switch bytes[position] {
        case UInt8(ascii: "{"): return try object(depth: depth)
        case UInt8(ascii: "["): return try array(depth: depth)
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "t"): return try word("true", .boolean(true))
        case UInt8(ascii: "f"): return try word("false", .boolean(false))
        case UInt8(ascii: "n"): return try word("null", .null)
        case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return try number()
        default: throw failure("a value")
        }
    }

    private mutating func object(depth: Int) throws(JSON.SyntaxError) -> JSON {
        var members: [String: JSON] = [:]
        position += 1
        skipSpace()
        if take("}") { return .object(members) }
        while true {
            skipSpace()
            let start = position
            guard peek("\"") else { throw failure("a key in quotes") }
            let key = try string()
            skipSpace()
            guard take(":") else { throw failure("':'") }
            guard members.updateValue(try value(depth: depth + 1), forKey: key) == nil else {
                throw failure("every key once", found: "\"\(key)\" again", at: start)
            }
            skipSpace()
            if take("}") { return .object(members) }
            guard take(",") else { throw failure("',' or '}'") }
        }
    }

    private mutating func array(depth: Int) throws(JSON.SyntaxError) -> JSON {
        var elements: [JSON] = []
        position += 1
        skipSpace()
        if take("]") { return .array(elements) }
        while true {
            elements.append(try value(depth: depth + 1))
            skipSpace()
            if take("]") { return .array(elements) }
            guard take(",") else { throw failure("',' or ']'") }
        }
    }

    private mutating func number() throws(JSON.SyntaxError) -> JSON {
        let start = position
        var isInteger = true
        _ = take("-")
        if !take("0") { try digits() }
        if take(".") {
            isInteger = false
            try digits()
        }
        if take("e") || take("E") {
            isInteger = false
            if !take("+") { _ = take("-") }
            try digits()
        }
        let text = String(decoding: bytes[start..<position], as: UTF8.self)
        if isInteger, let value = Int(text) { return .integer(value) }
        guard let value = Double(text), value.isFinite else {
            throw failure("a number within the range of a double", found: text, at: start)
        }
        return .number(value)
    }

    private mutating func digits() throws(JSON.SyntaxError) {
        let start = position
        while position < bytes.count, isDigit(bytes[position]) { position += 1 }
        guard position > start else { throw failure("a digit") }
    }

    private mutating func string() throws(JSON.SyntaxError) -> String {
        let start = position
        position += 1
        var content: [UInt8] = []
        while true {
            let run = position
            while position < bytes.count, bytes[position] != UInt8(ascii: "\""), bytes[position] != UInt8(ascii: "\\"),
                bytes[position] >= 0x20
            {
                position += 1
            }
            content += bytes[run..<position]
            if take("\"") { break }
            guard peek("\\") else { throw failure("'\"' at the end of a string") }
            try escape(into: &content)
        }
        guard let text = String(validating: content, as: UTF8.self) else {
            throw failure("text in UTF-8", found: "other bytes", at: start)
        }
        return text
    }

    private mutating func escape(into content: inout [UInt8]) throws(JSON.SyntaxError) {
        position += 1
        guard position < bytes.count else { throw failure("an escape") }
        let letter = bytes[position]
        position += 1
        switch letter {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): content.append(letter)
        case UInt8(ascii: "b"): content.append(0x08)
        case UInt8(ascii: "f"): content.append(0x0C)
        case UInt8(ascii: "n"): content.append(0x0A)
        case UInt8(ascii: "r"): content.append(0x0D)
        case UInt8(ascii: "t"): content.append(0x09)
        case UInt8(ascii: "u"):
            let start = position - 2
            var code = UInt32(try hexadecimal())
            if code >> 10 == 0x36 {  // the first half of a surrogate pair
                guard take("\\"), take("u") else { throw failure("the second half of a surrogate pair") }
                let low = UInt32(try hexadecimal())
                guard low >> 10 == 0x37 else {
                    throw failure("the second half of a surrogate pair", found: "another character", at: position - 6)
                }
                code = 0x10000 + (code & 0x3FF) << 10 + (low & 0x3FF)
            }
            guard let scalar = Unicode.Scalar(code) else {
                throw failure("a Unicode character", found: "half a surrogate pair", at: start)
            }
            content += Array(String(scalar).utf8)
        default:
            position -= 1
            throw failure("one of \" \\ / b f n r t u after '\\'")
        }
    }

    private mutating func hexadecimal() throws(JSON.SyntaxError) -> UInt16 {
        let end = position + 4
        guard end <= bytes.count,
            bytes[position..<end].allSatisfy({ isDigit($0) || (0x61...0x66).contains($0 | 0x20) }),
            let code = UInt16(String(decoding: bytes[position..<end], as: UTF8.self), radix: 16)
        else { throw failure("four hexadecimal digits") }
        position = end
        return code
    }

    private mutating func word(_ word: StaticString, _ value: JSON) throws(JSON.SyntaxError) -> JSON {
        let end = position + word.utf8CodeUnitCount
        guard end <= bytes.count, String(decoding: bytes[position..<end], as: UTF8.self) == word.description else {
            throw failure("a value")
        }
        position = end
        return value
    }

    // MARK: Single bytes

    private mutating func skipSpace() {
        while position < bytes.count {
            switch bytes[position] {
            case 0x20, 0x0A, 0x0D, 0x09: position += 1
            default: return
            }
        }
    }

    private func peek(_ character: Unicode.Scalar) -> Bool {
        position < bytes.count && bytes[position] == UInt8(ascii: character)
    }

    private mutating func take(_ character: Unicode.Scalar) -> Bool {
        guard peek(character) else { return false }
        position += 1
        return true
    }

    private func isDigit(_ byte: UInt8) -> Bool { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) }

    private func failure(_ expected: String, found: String? = nil, at place: Int? = nil) -> JSON.SyntaxError {
        let place = place ?? position
        let before = bytes[..<min(place, bytes.count)]
        let line = before.count { $0 == 0x0A } + 1
        let column = before.count - (before.lastIndex(of: 0x0A).map { $0 + 1 } ?? 0) + 1
        return JSON.SyntaxError(line: line, column: column, expected: expected, found: found ?? describe(byteAt: place))
    }

    private func describe(byteAt place: Int) -> String {
        guard place < bytes.count else { return "the end of the text" }
        let byte = bytes[place]
        return (0x21..<0x7F).contains(byte)
            ? "'\(Character(Unicode.Scalar(byte)))'" : "byte 0x\(String(byte, radix: 16, uppercase: true))"
    }
}
