/// A streaming JSON reader (RFC 8259) over bytes, which keeps no values: for files too large for a tree, and to build
/// `JSONValue` trees.
package struct JSONReader {
    private let bytes: [UInt8]
    private var place: Int
    private var depth = 0
    /// Whether an opening bracket was read last.
    private var isAtFirst = false
    private var keyPlace = 0

    private static let depthLimit = 64
    /// Maximum number of values of one tree. A value of two bytes takes a hundred in memory: this bounds a tree to
    /// about 100 MB.
    static let valueLimit = 1 << 20
    private var valueCount = 0

    /// - Parameter bytes: UTF-8; a byte order mark is skipped.
    package init(_ bytes: [UInt8]) {
        self.bytes = bytes
        place = bytes.starts(with: [0xEF, 0xBB, 0xBF]) ? 3 : 0
    }

    /// The first byte of the next value; 0 at the end.
    package mutating func peek() -> UInt8 {
        while place < bytes.count, Self.isSpace(bytes[place]) { place += 1 }
        return place < bytes.count ? bytes[place] : 0
    }

    /// - Throws: `JSONValue.SyntaxError` if anything but white space follows.
    package mutating func expectEnd() throws(JSONValue.SyntaxError) {
        _ = peek()
        guard place == bytes.count else { throw failure("the end of the text") }
    }

    // MARK: Values

    /// The next value as a tree.
    ///
    /// - Throws: `JSONValue.SyntaxError`, also if an object repeats a key, a number exceeds the range of a double, or
    ///   the tree has more than 2²⁰ values.
    package mutating func readValue() throws(JSONValue.SyntaxError) -> JSONValue {
        valueCount += 1
        guard valueCount <= Self.valueLimit else { throw failure("at most \(Self.valueLimit) values", found: "more") }
        switch peek() {
        case UInt8(ascii: "{"): return try readMembers()
        case UInt8(ascii: "["):
            var values: [JSONValue] = []
            try beginArray()
            while try nextElement() { values.append(try readValue()) }
            return .array(values)
        default: return try readScalar()
        }
    }

    private mutating func readScalar() throws(JSONValue.SyntaxError) -> JSONValue {
        switch peek() {
        case UInt8(ascii: "\""): return .string(try readString())
        case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return try readNumber()
        default:
            for (word, value) in [
                ("true" as StaticString, JSONValue.boolean(true)), ("false", .boolean(false)), ("null", .null),
            ]
            where take(word: word) { return value }
            throw failure("a value")
        }
    }

    private mutating func readMembers() throws(JSONValue.SyntaxError) -> JSONValue {
        var members: [JSONValue.Member] = []
        var keys: Set<[UInt8]> = []
        try beginObject()
        while let key = try nextKey() {
            guard keys.insert(Array(key.utf8)).inserted else {
                throw failure("every key once", found: "\"\(key)\" again", at: keyPlace)
            }
            members.append(JSONValue.Member(key, try readValue()))
        }
        return .object(members)
    }

    /// Skips the next value.
    package mutating func skipValue() throws(JSONValue.SyntaxError) {
        switch peek() {
        case UInt8(ascii: "{"):
            var key: [UInt8] = []
            try beginObject()
            while try nextKey(into: &key) { try skipValue() }
        case UInt8(ascii: "["):
            try beginArray()
            while try nextElement() { try skipValue() }
        default: _ = try readScalar()
        }
    }

    package mutating func readBool() throws(JSONValue.SyntaxError) -> Bool {
        _ = peek()
        if take(word: "true") { return true }
        guard take(word: "false") else { throw failure("true or false") }
        return false
    }

    package mutating func readInteger() throws(JSONValue.SyntaxError) -> Int {
        _ = peek()
        let start = place
        guard case .integer(let value)? = try? readNumber() else { throw failure("an integer of 64 bits", at: start) }
        return value
    }

    package mutating func readString() throws(JSONValue.SyntaxError) -> String {
        _ = peek()
        let start = place
        var content: [UInt8] = []
        try readString(into: &content)
        guard let text = String(validating: content, as: UTF8.self) else {
            throw failure("text in UTF-8", found: "other bytes", at: start)
        }
        return text
    }

    /// Appends the bytes of a string with escapes resolved; valid UTF-8 if the file is.
    package mutating func readString(into content: inout [UInt8]) throws(JSONValue.SyntaxError) {
        _ = peek()
        guard take("\"") else { throw failure("a string") }
        while true {
            var end = place
            while end < bytes.count, bytes[end] >= 0x20, bytes[end] != UInt8(ascii: "\""),
                bytes[end] != UInt8(ascii: "\\")
            { end += 1 }
            content.append(contentsOf: bytes[place..<end])
            place = end
            if take("\"") { return }
            guard take("\\") else { throw failure("'\"' at the end of a string") }
            try readEscape(into: &content)
        }
    }

    // MARK: Objects and arrays

    /// Enters an object; `nextKey` then iterates over its members.
    package mutating func beginObject() throws(JSONValue.SyntaxError) { try begin("{") }

    /// The next key of the object entered last; nil at the end of the object. The reader is then before the key's
    /// value, which must be read or skipped before the next call.
    package mutating func nextKey() throws(JSONValue.SyntaxError) -> String? {
        guard try beginMember() else { return nil }
        let key = try readString()
        try expectColon()
        return key
    }

    /// Like `nextKey()`, but replaces the content of `key` by the bytes of the key.
    ///
    /// - Returns: whether there is another member.
    package mutating func nextKey(into key: inout [UInt8]) throws(JSONValue.SyntaxError) -> Bool {
        guard try beginMember() else { return false }
        key.removeAll(keepingCapacity: true)
        try readString(into: &key)
        try expectColon()
        return true
    }

    /// Enters an array; `nextElement` then iterates over its values.
    package mutating func beginArray() throws(JSONValue.SyntaxError) { try begin("[") }

    /// Whether the array entered last has another value, which must be read or skipped before the next call.
    package mutating func nextElement() throws(JSONValue.SyntaxError) -> Bool { try next(before: "]") }

    private mutating func begin(_ bracket: Unicode.Scalar) throws(JSONValue.SyntaxError) {
        guard peek() == UInt8(ascii: bracket) else { throw failure("'\(bracket)'") }
        depth += 1
        guard depth <= Self.depthLimit else { throw failure("at most \(Self.depthLimit) levels of nesting") }
        place += 1
        isAtFirst = true
    }

    private mutating func next(before close: Unicode.Scalar) throws(JSONValue.SyntaxError) -> Bool {
        let isFirst = isAtFirst
        isAtFirst = false
        guard peek() != UInt8(ascii: close) else {
            place += 1
            depth -= 1
            return false
        }
        guard isFirst || take(",") else { throw failure("',' or '\(close)'") }
        _ = peek()
        return true
    }

    private mutating func beginMember() throws(JSONValue.SyntaxError) -> Bool {
        guard try next(before: "}") else { return false }
        guard peek() == UInt8(ascii: "\"") else { throw failure("a key in quotes") }
        keyPlace = place
        return true
    }

    private mutating func expectColon() throws(JSONValue.SyntaxError) {
        _ = peek()
        guard take(":") else { throw failure("':'") }
    }

    // MARK: Numbers and escapes

    private mutating func readNumber() throws(JSONValue.SyntaxError) -> JSONValue {
        let start = place
        var isInteger = true
        _ = take("-")
        if !take("0") { try readDigits() }
        if take(".") {
            isInteger = false
            try readDigits()
        }
        if take("e") || take("E") {
            isInteger = false
            if !take("+") { _ = take("-") }
            try readDigits()
        }
        let text = String(decoding: bytes[start..<place], as: UTF8.self)
        if isInteger { return Int(text).map(JSONValue.integer) ?? .largeInteger(text) }
        guard let value = Double(text), value.isFinite else {
            throw failure("a number within the range of a double", found: text, at: start)
        }
        return .number(value)
    }

    private mutating func readDigits() throws(JSONValue.SyntaxError) {
        let start = place
        while place < bytes.count, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(bytes[place]) { place += 1 }
        guard place > start else { throw failure("a digit") }
    }

    private mutating func readEscape(into content: inout [UInt8]) throws(JSONValue.SyntaxError) {
        let letters: [(Unicode.Scalar, UInt8)] = [
            ("\"", 0x22), ("\\", 0x5C), ("/", 0x2F), ("b", 0x08), ("f", 0x0C), ("n", 0x0A), ("r", 0x0D), ("t", 0x09),
        ]
        for (letter, byte) in letters where take(letter) {
            content.append(byte)
            return
        }
        let start = place
        guard take("u") else { throw failure("one of \" \\ / b f n r t u after '\\'") }
        var code = try readHexadecimal()
        if code >> 10 == 0xD800 >> 10 {
            guard take(word: "\\u") else { throw failure("the second half of a surrogate pair") }
            let low = try readHexadecimal()
            guard low >> 10 == 0xDC00 >> 10 else {
                throw failure("the second half of a surrogate pair", found: "another character", at: place - 4)
            }
            code = 0x10000 + (code & 0x3FF) << 10 + (low & 0x3FF)
        }
        guard let scalar = Unicode.Scalar(code) else {
            throw failure("a Unicode character", found: "half a surrogate pair", at: start)
        }
        content.append(contentsOf: UTF8.encode(scalar)!)
    }

    private mutating func readHexadecimal() throws(JSONValue.SyntaxError) -> UInt32 {
        let text = String(decoding: bytes[place..<min(place + 4, bytes.count)], as: UTF8.self)
        guard text.utf8.count == 4, text.utf8.first != UInt8(ascii: "+"), let code = UInt32(text, radix: 16) else {
            throw failure("four hexadecimal digits")
        }
        place += 4
        return code
    }

    // MARK: Single bytes

    private static func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 }

    private mutating func take(_ character: Unicode.Scalar) -> Bool {
        guard place < bytes.count, bytes[place] == UInt8(ascii: character) else { return false }
        place += 1
        return true
    }

    private mutating func take(word: StaticString) -> Bool {
        let text = UnsafeBufferPointer(start: word.utf8Start, count: word.utf8CodeUnitCount)
        guard bytes[place...].starts(with: text) else { return false }
        place += text.count
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

extension JSONValue {
    /// A syntax error and its position: lines and columns (in bytes) count from 1.
    public struct SyntaxError: Error, Hashable, Sendable, CustomStringConvertible {
        /// The line of the error, from 1.
        public let line: Int
        /// The byte in that line, from 1.
        public let column: Int
        /// What would have been right.
        public let expected: String
        /// What is there.
        public let found: String

        /// The sentence that names place, expected and found.
        public var description: String { "\(place): expected \(expected), found \(found)." }

        package var place: String { "line \(line), column \(column)" }
    }

    /// - Throws: if `text` is not exactly one JSON value (RFC 8259), repeats a key, nests deeper than 64 levels, holds
    ///   more than 2²⁰ values, or a number outside the range of a double.
    public init(parsing text: String) throws(SyntaxError) { try self.init(parsing: Array(text.utf8)) }

    /// - Parameter bytes: UTF-8; a byte order mark is skipped.
    public init(parsing bytes: [UInt8]) throws(SyntaxError) {
        var reader = JSONReader(bytes)
        self = try reader.readValue()
        try reader.expectEnd()
    }
}
