extension JSONValue {
    /// What is wrong with a text, and where: lines and columns (in bytes) count from 1.
    public struct SyntaxError: Error, Hashable, Sendable, CustomStringConvertible {
        public let line: Int
        public let column: Int
        public let expected: String
        public let found: String

        public var description: String { "line \(line), column \(column): expected \(expected), found \(found)." }
    }

    /// - Throws: if `text` is not exactly one JSON value (RFC 8259), repeats a key, nests deeper than 64 levels, or holds
    ///   a number beyond the range of a double.
    public init(parsing text: String) throws(SyntaxError) { try self.init(parsing: Array(text.utf8)) }

    /// - Parameter bytes: UTF-8; a byte order mark is skipped.
    public init(parsing bytes: [UInt8]) throws(SyntaxError) {
        var parser = JSONParser(bytes)
        self = try parser.document()
    }
}

private struct JSONParser {
    private let bytes: [UInt8]
    private var place: Int
    private static let depthLimit = 64

    init(_ bytes: [UInt8]) {
        self.bytes = bytes
        place = bytes.starts(with: [0xEF, 0xBB, 0xBF]) ? 3 : 0
    }

    mutating func document() throws(JSONValue.SyntaxError) -> JSONValue {
        let value = try value(depth: 1)
        skipSpace()
        guard place == bytes.count else { throw failure("the end of the text") }
        return value
    }

    private mutating func value(depth: Int) throws(JSONValue.SyntaxError) -> JSONValue {
        skipSpace()
        guard depth <= Self.depthLimit else { throw failure("at most \(Self.depthLimit) levels of nesting") }
        switch place < bytes.count ? bytes[place] : 0 {
        case UInt8(ascii: "{"): return try object(depth: depth)
        case UInt8(ascii: "["): return try array(depth: depth)
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return try number()
        default:
            for (word, value) in [("true", JSONValue.boolean(true)), ("false", .boolean(false)), ("null", .null)]
            where bytes[place...].starts(with: word.utf8) {
                place += word.utf8.count
                return value
            }
            throw failure("a value")
        }
    }

    private mutating func object(depth: Int) throws(JSONValue.SyntaxError) -> JSONValue {
        var members: [JSONValue.Member] = []
        var keys: Set<[UInt8]> = []
        try elements(from: "{", to: "}") { parser throws(JSONValue.SyntaxError) in
            let start = parser.place
            guard parser.peek("\"") else { throw parser.failure("a key in quotes") }
            let key = try parser.string()
            guard keys.insert(Array(key.utf8)).inserted else {
                throw parser.failure("every key once", found: "\"\(key)\" again", at: start)
            }
            parser.skipSpace()
            guard parser.take(":") else { throw parser.failure("':'") }
            members.append(JSONValue.Member(key, try parser.value(depth: depth + 1)))
        }
        return .object(members)
    }

    private mutating func array(depth: Int) throws(JSONValue.SyntaxError) -> JSONValue {
        var values: [JSONValue] = []
        try elements(from: "[", to: "]") { parser throws(JSONValue.SyntaxError) in
            values.append(try parser.value(depth: depth + 1))
        }
        return .array(values)
    }

    /// Calls `element` before each element between the brackets.
    private mutating func elements(
        from open: Unicode.Scalar, to close: Unicode.Scalar,
        _ element: (inout JSONParser) throws(JSONValue.SyntaxError) -> Void
    ) throws(JSONValue.SyntaxError) {
        _ = take(open)
        skipSpace()
        if take(close) { return }
        while true {
            skipSpace()
            try element(&self)
            skipSpace()
            if take(close) { return }
            guard take(",") else { throw failure("',' or '\(close)'") }
        }
    }

    private mutating func number() throws(JSONValue.SyntaxError) -> JSONValue {
        let start = place
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
        let text = String(decoding: bytes[start..<place], as: UTF8.self)
        if isInteger {
            return Int(text).map(JSONValue.integer) ?? .largeInteger(text)
        }
        guard let value = Double(text), value.isFinite else {
            throw failure("a number within the range of a double", found: text, at: start)
        }
        return .number(value)
    }

    private mutating func digits() throws(JSONValue.SyntaxError) {
        let start = place
        while place < bytes.count, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(bytes[place]) { place += 1 }
        guard place > start else { throw failure("a digit") }
    }

    private mutating func string() throws(JSONValue.SyntaxError) -> String {
        let start = place
        _ = take("\"")
        var content: [UInt8] = []
        while !take("\"") {
            guard place < bytes.count, bytes[place] >= 0x20 else { throw failure("'\"' at the end of a string") }
            if take("\\") {
                try escape(into: &content)
            } else {
                content.append(bytes[place])
                place += 1
            }
        }
        guard let text = String(validating: content, as: UTF8.self) else {
            throw failure("text in UTF-8", found: "other bytes", at: start)
        }
        return text
    }

    private mutating func escape(into content: inout [UInt8]) throws(JSONValue.SyntaxError) {
        let letters: [(Unicode.Scalar, UInt8)] = [
            ("\"", 0x22), ("\\", 0x5C), ("/", 0x2F), ("b", 0x08), ("f", 0x0C), ("n", 0x0A), ("r", 0x0D), ("t", 0x09),
        ]
        for (letter, byte) in letters where take(letter) {
            content.append(byte)
            return
        }
        let start = place
        guard take("u") else { throw failure("one of \" \\ / b f n r t u after '\\'") }
        var code = try hexadecimal()
        if code >> 10 == 0xD800 >> 10 {
            guard take("\\"), take("u") else { throw failure("the second half of a surrogate pair") }
            let low = try hexadecimal()
            guard low >> 10 == 0xDC00 >> 10 else {
                throw failure("the second half of a surrogate pair", found: "another character", at: place - 4)
            }
            code = 0x10000 + (code & 0x3FF) << 10 + (low & 0x3FF)
        }
        guard let scalar = Unicode.Scalar(code) else {
            throw failure("a Unicode character", found: "half a surrogate pair", at: start)
        }
        content += Array(String(scalar).utf8)
    }

    private mutating func hexadecimal() throws(JSONValue.SyntaxError) -> UInt32 {
        let text = String(decoding: bytes[place..<min(place + 4, bytes.count)], as: UTF8.self)
        guard text.utf8.count == 4, text.utf8.first != UInt8(ascii: "+"), let code = UInt32(text, radix: 16) else {
            throw failure("four hexadecimal digits")
        }
        place += 4
        return code
    }

    // MARK: Single bytes

    private mutating func skipSpace() {
        while place < bytes.count, [0x20, 0x0A, 0x0D, 0x09].contains(bytes[place]) { place += 1 }
    }

    private func peek(_ character: Unicode.Scalar) -> Bool {
        place < bytes.count && bytes[place] == UInt8(ascii: character)
    }

    private mutating func take(_ character: Unicode.Scalar) -> Bool {
        guard peek(character) else { return false }
        place += 1
        return true
    }

    private func failure(_ expected: String, found: String? = nil, at start: Int? = nil) -> JSONValue.SyntaxError {
        let start = start ?? place
        let before = bytes[..<start]
        let lineStart = before.lastIndex(of: 0x0A).map { $0 + 1 } ?? 0
        return JSONValue.SyntaxError(
            line: before.count { $0 == 0x0A } + 1, column: start - lineStart + 1, expected: expected,
            found: found ?? summary(ofByteAt: start))
    }

    private func summary(ofByteAt place: Int) -> String {
        guard place < bytes.count else { return "the end of the text" }
        let byte = bytes[place]
        return (0x21..<0x7F).contains(byte)
            ? "'\(Unicode.Scalar(byte))'" : "byte 0x" + String(byte, radix: 16, uppercase: true)
    }
}
